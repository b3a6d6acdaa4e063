import Base
package import Dashboard
import FoundationEssentials
import Glibc

/// Asks a running task over its Unix socket. Blocking, for the command line.
package struct ControlClient: Sendable {
    package enum Failure: Error, CustomStringConvertible {
        /// Nobody listens: no socket, or one that a killed process has left.
        case notRunning(String)
        case notPermitted(String)
        case failed(String)

        package var description: String {
            switch self {
            case .notRunning(let path): "nothing listens on \(path)"
            case .notPermitted(let path):
                "\(path) is not for this user: be root, or in the group df2redis (adduser USER df2redis)"
            case .failed(let text): text
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
    ///
    /// - Parameter drains: `false` when nothing is on its way to the target, and nothing will be.
    package func stop(drains: Bool = true) throws(Failure) {
        _ = try request("POST", drains ? "/api/stop" : "/api/stop?drain=no", expecting: 202)
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

    /// The number of the process that listens.
    package func processID() throws(Failure) -> Int32 {
        let descriptor = try connect()
        defer { close(descriptor) }
        // `struct ucred`, which Glibc's module lacks: process, user, group.
        var peer: (process: pid_t, user: uid_t, group: gid_t) = (0, 0, 0)
        var size = socklen_t(MemoryLayout.size(ofValue: peer))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 else {
            throw .failed("\(SystemError("getsockopt", errno: errno, peer: path))")
        }
        return peer.process
    }

    private func connect() throws(Failure) -> Int32 {
        do {
            return try UnixSocket.connect(path)
        } catch {
            switch error.errno {
            case ENOENT, ECONNREFUSED, ENOTDIR: throw .notRunning(path)
            case EACCES, EPERM: throw .notPermitted(path)
            default: throw .failed("\(error)")
            }
        }
    }

    private func request(_ method: String, _ target: String, expecting status: Int) throws(Failure) -> String {
        let descriptor = try connect()
        defer { close(descriptor) }
        var limit = timeval(tv_sec: Int(timeout.components.seconds), tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let request = Array(
            "\(method) \(target) HTTP/1.1\r\nHost: df2redis\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".utf8)
        guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            if errno == EPIPE { throw .notRunning(path) }
            throw .failed("\(SystemError("send", errno: errno, peer: path))")
        }
        var answer: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while answer.count < Self.answerLimit {
            let count = retryingInterrupts { recv(descriptor, &piece, piece.count, 0) }
            if count == 0 { break }
            if count < 0 {
                // It has died over the question.
                if errno == ECONNRESET { throw .notRunning(path) }
                let reason =
                    errno == EAGAIN
                    ? "no answer within \(timeout.components.seconds) s"
                    : "\(SystemError("recv", errno: errno, peer: path))"
                throw .failed("the daemon at \(path): \(reason)")
            }
            answer += piece[..<count]
        }
        if answer.isEmpty { throw .notRunning(path) }
        let text = String(decoding: answer, as: UTF8.self)
        guard text.hasPrefix("HTTP/1.1 \(status) "), let end = text.firstRange(of: "\r\n\r\n") else {
            throw .failed("the daemon at \(path) answered '\(text.prefix { !$0.isNewline })'")
        }
        return String(text[end.upperBound...])
    }
}

/// A task as its status document describes it.
package struct RunningTask: Decodable, Sendable {
    package struct Health: Decodable, Sendable {
        package var status: String
        package var code: String?
        package var reason: String?
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
    package var mode: String?
    /// The file that it was started with; absent in the words of an older version.
    package var configuration: String?
    /// What could not be replicated or differs, by kind.
    package var incidents: [String: Int]?
    package var targetLost: Bool?
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
