import Base
package import Dashboard
import FoundationEssentials
import Glibc
import Replication

/// Asks a running task over its Unix socket. Blocking, for the command line.
package struct ControlClient: Sendable {
    package enum Failure: Error, CustomStringConvertible {
        /// Nobody listens: no socket, or one that a killed process has left.
        case notRunning(String)
        case notPermitted(String)
        /// This user may not do it by other means either: why.
        case forbidden(String)
        /// It has the question, and does not answer: a process that hangs or is stopped.
        case silent(String)
        case failed(String)
        /// It runs, and does not do that: why.
        case refused(String)
        /// It would have to be configured otherwise to do that: why.
        case impossible(String)
        /// The daemon does not know the question.
        case outdated(String)

        package var description: String {
            switch self {
            case .notRunning(let path): "nothing listens on \(path)"
            case .notPermitted(let path):
                "\(path) is not for this user: be root, or in the group df2redis (adduser USER df2redis)"
            case .forbidden(let text), .silent(let text), .failed(let text): text
            case .refused(let reason), .impossible(let reason): reason
            case .outdated(let path):
                "the daemon at \(path) is of an older version and does not know this: restart the task"
            }
        }
    }

    private static let answerLimit = 16 << 20
    private let path: String
    private let timeout: Duration

    /// - Parameter timeout: for each read and write.
    package init(_ socket: ControlSocket, timeout: Duration = .seconds(5)) {
        path = socket.path
        self.timeout = timeout
    }

    /// The status document, as the daemon sent it.
    package func status() throws(Failure) -> (json: String, status: RunningTask) {
        let json = try request("GET", "/api/status", expecting: 200)
        do {
            return (json, try JSONDecoder().decode(RunningTask.self, from: Data(json.utf8)))
        } catch {
            throw .failed("the daemon at \(path) answers in another version's words")
        }
    }

    /// Asks the task to leave; it does so as on SIGTERM.
    package func stop(_ wish: TaskControl.Stop = .init()) throws(Failure) {
        let query = (wish.drains ? [] : ["drain=no"]) + (wish.isCutover ? ["cutover=yes"] : [])
        _ = try request(
            "POST", "/api/stop" + (query.isEmpty ? "" : "?" + query.joined(separator: "&")), expecting: 202)
    }

    /// How far the target is at this moment.
    package func positions() throws(Failure) -> RunningPositions {
        let json = try request("GET", "/api/positions", expecting: 200)
        do {
            return try JSONDecoder().decode(RunningPositions.self, from: Data(json.utf8))
        } catch {
            throw .failed("the daemon at \(path) answers in another version's words")
        }
    }

    /// The number of the process that listens, also of one that hangs and has no room for another connection.
    package func processID() throws(Failure) -> Int32 {
        let descriptor: Int32
        do { descriptor = try connect() } catch .silent(let reason) {
            guard let process = SocketListener.process(at: path) else { throw .silent(reason) }
            return process
        }
        defer { close(descriptor) }
        // `struct ucred`, which Glibc's module lacks: process, user, group.
        var peer: (process: pid_t, user: uid_t, group: gid_t) = (0, 0, 0)
        var size = socklen_t(MemoryLayout.size(ofValue: peer))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 else {
            throw .failed("\(SystemError("getsockopt", errno: errno, peer: path))")
        }
        // To signal number 0 would be to signal ourselves.
        guard peer.process > 0 else {
            throw .failed(
                "the daemon at \(path) runs in another PID namespace: run this in the same one (nsenter, docker exec)")
        }
        return peer.process
    }

    // MARK: What an operator asks for

    /// Begins a pass over both sides, or joins the one that is under way.
    func verify(keysPerSecond: Int) throws(Failure) -> VerificationDocument {
        try document("POST", "/api/verify?keysPerSecond=\(keysPerSecond)", expecting: 202)
    }

    func verification() throws(Failure) -> VerificationDocument { try document("GET", "/api/verify", expecting: 200) }

    func stopVerification(_ number: Int) throws(Failure) -> VerificationDocument {
        try document("POST", "/api/verify/stop?number=\(number)", expecting: 202)
    }

    /// - Parameter keys: a `KeyListBody`.
    func refresh(_ keys: [UInt8], keysPerSecond: Int) throws(Failure) -> RefreshReceipt {
        try document("POST", "/api/refresh?keysPerSecond=\(keysPerSecond)", body: keys, expecting: 202)
    }

    /// Has all keys read that wait to be, where nothing is written at the source any more.
    func refreshWaiting(keysPerSecond: Int) throws(Failure) -> RefreshReceipt {
        try document("POST", "/api/refresh/waiting?keysPerSecond=\(keysPerSecond)", expecting: 202)
    }

    func rest(before mark: UInt64) throws(Failure) -> RefreshRest {
        try document("GET", "/api/refresh?before=\(mark)", expecting: 200)
    }

    /// Has the streams read at the source that have groups of consumers.
    func fetchStreams() throws(Failure) -> StreamsDocument { try document("POST", "/api/streams", expecting: 202) }

    func streams() throws(Failure) -> StreamsDocument { try document("GET", "/api/streams", expecting: 200) }

    private func document<Document: Decodable>(
        _ method: String, _ target: String, body: [UInt8] = [], expecting status: Int
    ) throws(Failure) -> Document {
        let json = try request(method, target, body: body, expecting: status)
        do {
            return try JSONDecoder().decode(Document.self, from: Data(json.utf8))
        } catch {
            throw .failed("the daemon at \(path) answers in another version's words")
        }
    }

    private var silence: Failure { .silent("the daemon at \(path): no answer within \(timeout.components.seconds) s") }

    private func connect() throws(Failure) -> Int32 {
        do {
            return try UnixSocket.connect(path, limit: timeout)
        } catch {
            switch error.errno {
            case ENOENT, ECONNREFUSED, ENOTDIR: throw .notRunning(path)
            case EACCES, EPERM: throw .notPermitted(path)
            case EAGAIN: throw silence
            default: throw .failed("\(error)")
            }
        }
    }

    private func request(
        _ method: String, _ target: String, body: [UInt8] = [], expecting status: Int
    ) throws(Failure) -> String {
        let descriptor = try connect()
        defer { close(descriptor) }
        UnixSocket.set(timeout, SO_RCVTIMEO, of: descriptor)
        let head =
            "\(method) \(target) HTTP/1.1\r\nHost: df2redis\r\nConnection: close\r\nContent-Length: \(body.count)\r\n\r\n"
        var rest = (Array(head.utf8) + body)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { bytes in
                retryingInterrupts { send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
            }
            guard count > 0 else {
                if errno == EPIPE { throw .notRunning(path) }
                if errno == EAGAIN { throw silence }
                throw .failed("\(SystemError("send", errno: errno, peer: path))")
            }
            rest = rest.dropFirst(count)
        }
        var answer: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while answer.count < Self.answerLimit {
            let count = retryingInterrupts { recv(descriptor, &piece, piece.count, 0) }
            if count == 0 { break }
            if count < 0 {
                // It has died over the question.
                if errno == ECONNRESET { throw .notRunning(path) }
                if errno == EAGAIN { throw silence }
                throw .failed("the daemon at \(path): \(SystemError("recv", errno: errno, peer: path))")
            }
            answer += piece[..<count]
        }
        if answer.isEmpty { throw .notRunning(path) }
        let text = String(decoding: answer, as: UTF8.self)
        let end = text.firstRange(of: "\r\n\r\n")
        if text.hasPrefix("HTTP/1.1 404 ") || text.hasPrefix("HTTP/1.1 405 ") { throw .outdated(path) }
        if text.hasPrefix("HTTP/1.1 409 "), let end {
            let reason = try? JSONDecoder().decode(Refusal.self, from: Data(text[end.upperBound...].utf8))
            let text = reason?.error ?? "the task refuses it"
            throw reason?.code == TaskDemands.Refusal.Code.impossible.rawValue ? .impossible(text) : .refused(text)
        }
        if text.hasPrefix("HTTP/1.1 500 "), let end,
            let reason = try? JSONDecoder().decode(Refusal.self, from: Data(text[end.upperBound...].utf8))
        {
            throw .failed(reason.error)
        }
        guard text.hasPrefix("HTTP/1.1 \(status) "), let end else {
            throw .failed("the daemon at \(path) answered '\(text.prefix { !$0.isNewline })'")
        }
        return String(text[end.upperBound...])
    }

    private struct Refusal: Decodable {
        var error: String
        var code: String?
    }
}

/// Keys that a task has been asked to read at the source.
struct RefreshReceipt: Decodable, Sendable {
    var pid: Int32
    var asked: Int
    var unplaced: Int
    var noRoom: Int
    var mark: UInt64
    var failedBefore: Int
    var leftOutBefore: Int
}

/// How far they are.
struct RefreshRest: Decodable, Sendable {
    var pid: Int32
    /// The phase of the task.
    var phase: String
    /// Why no key is read at the source at present.
    var obstacle: String?
    var waiting: Int
    var changing: Int
    var failed: Int
    var leftOut: Int
}

/// Streams of the source that have groups of consumers, where their reads leave no record.
struct StreamsDocument: Decodable, Sendable {
    var pid: Int32
    var phase: String
    var obstacle: String?
    /// Streams that are read now.
    var asked: Int?
    /// Streams that are not written at the target yet.
    var waiting: Int
    /// Keys that could not be read or written, since the process began.
    var failed: Int
    var known: Int
    /// Streams that there was no room for.
    var leftOut: Int
    /// Every such stream is known.
    var complete: Bool
    /// Those that are not known are being looked for.
    var walking: Bool
}

/// A task as its status document describes it.
package struct RunningTask: Decodable, Sendable {
    package struct Health: Decodable, Sendable {
        package var status: String
        package var code: String?
        package var reason: String?
        /// What an operator should do although all is well.
        package var detail: String?
    }

    package struct Flow: Decodable, Sendable {
        package var records: Int
    }

    package var task: String
    package var phase: String
    package var source: String
    package var target: String
    package var summary: String
    package var pid: Int32
    package var keys: Int
    package var records: Int
    package var lagSeconds: Double?
    package var lagRecords: UInt64?
    /// Part of `lagRecords` is reckoned by the size of a record.
    package var isLagEstimated: Bool?
    package var mode: String?
    /// The file that it was started with; absent in the words of an older version.
    package var configuration: String?
    /// What could not be replicated or differs, by kind.
    package var incidents: [String: Int]?
    package var targetLost: Bool?
    /// Why the target does not serve.
    package var targetLoss: String?
    package var flows: [Flow]?
    package var dashboard: String?
    package var startedAt: Int64
    package var health: Health
}

/// How far the target of a task is, flow by flow.
package struct RunningPositions: Decodable, Sendable, Equatable {
    package var pid: Int32
    package var phase: String
    /// The number of the session in the process.
    package var session: Int
    package var targetLost: Bool
    /// The next LSN of each flow that the target has not confirmed; `nil` before the stable stream.
    package var nextLSNs: [UInt64?]

    package var isStable: Bool { phase == "stable" && !nextLSNs.isEmpty && !nextLSNs.contains(nil) }
}
