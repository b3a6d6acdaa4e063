import Base
package import Dashboard
import Glibc
import Replication

/// Makes requests to a running task over its Unix socket. Blocking, for the command line.
package struct ControlClient: Sendable {
    package enum Failure: Error, CustomStringConvertible {
        /// Nothing listens: there is no socket, or only that of a killed process.
        case notRunning(String)
        case notPermitted(String)
        /// This user may not do it by other means, such as a signal, either. Carries the reason.
        case forbidden(String)
        /// The daemon does not answer, because its process hangs or is stopped.
        case silent(String)
        case failed(String)
        /// The task runs but refuses the request. Carries the reason.
        case refused(String)
        /// The task's configuration does not allow the request. Carries the reason.
        case impossible(String)
        /// The daemon does not know the request, so it is of an older version.
        case outdated(String)

        package var description: String {
            switch self {
            case .notRunning(let path): "the task does not run: nothing listens on \(path)"
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

    /// - Parameter timeout: the limit for the connect, and for each read and write.
    package init(_ socket: ControlSocket, timeout: Duration = .seconds(5)) {
        path = socket.path
        self.timeout = timeout
    }

    /// The status, and the JSON as the daemon sent it.
    package func status() throws(Failure) -> (json: String, status: StatusDocument) {
        let json = try request("GET", "/api/status", expecting: 200)
        return (json, try document(json))
    }

    /// Asks the task to leave; it does so as on SIGTERM.
    package func stop(_ stopRequest: TaskControl.Stop = .init()) throws(Failure) {
        let query = (stopRequest.drains ? [] : ["drain=no"]) + (stopRequest.isCutover ? ["cutover=yes"] : [])
        _ = try request(
            "POST", "/api/stop" + (query.isEmpty ? "" : "?" + query.joined(separator: "&")), expecting: 202)
    }

    /// How far the target is at this moment: the next LSN of each flow.
    package func positions() throws(Failure) -> PositionsDocument {
        try document(request("GET", "/api/positions", expecting: 200))
    }

    /// The ID of the process that listens, even if it hangs and has no room for another connection.
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
        // A signal to process 0 would go to our own process group.
        guard peer.process > 0 else {
            throw .failed(
                "the daemon at \(path) runs in another PID namespace: run this in the same one (nsenter, docker exec)")
        }
        return peer.process
    }

    // MARK: What an operator asks for

    /// Begins a pass over both sides, or joins the one that is under way.
    func verify(keysPerSecond: Int) throws(Failure) -> VerificationAnswer {
        try operatorRequest("POST", "/api/verify?keysPerSecond=\(keysPerSecond)")
    }

    func verification() throws(Failure) -> VerificationAnswer { try operatorRequest("GET", "/api/verify") }

    func stopVerification(_ number: Int) throws(Failure) -> VerificationAnswer {
        try operatorRequest("POST", "/api/verify/stop?number=\(number)")
    }

    /// - Parameter keys: a `KeyListBody`.
    func refresh(_ keys: [UInt8], keysPerSecond: Int) throws(Failure) -> OperatorRequestAnswer<RefreshReceipt> {
        try operatorRequest("POST", "/api/refresh?keysPerSecond=\(keysPerSecond)", body: keys)
    }

    /// Makes the task read all keys that wait to be read at the source; for use when nothing is written there any more.
    func refreshWaiting(keysPerSecond: Int) throws(Failure) -> OperatorRequestAnswer<RefreshReceipt> {
        try operatorRequest("POST", "/api/refresh/waiting?keysPerSecond=\(keysPerSecond)")
    }

    func refreshProgress(before mark: UInt64) throws(Failure) -> OperatorRequestAnswer<RefreshProgress> {
        try operatorRequest("GET", "/api/refresh?before=\(mark)")
    }

    /// Makes the task read the streams that have consumer groups at the source.
    func fetchStreams() throws(Failure) -> OperatorRequestAnswer<StreamsDocument> {
        try operatorRequest("POST", "/api/streams")
    }

    func streams() throws(Failure) -> OperatorRequestAnswer<StreamsDocument> {
        try operatorRequest("GET", "/api/streams")
    }

    private func operatorRequest<Content: JSONDocument>(
        _ method: String, _ target: String, body: [UInt8] = []
    ) throws(Failure) -> OperatorRequestAnswer<Content> {
        try document(request(method, target, body: body, expecting: method == "POST" ? 202 : 200))
    }

    private func document<Document: JSONDocument>(_ json: String) throws(Failure) -> Document {
        do { return try Document(json: json) } catch {
            throw .failed("the daemon at \(path) answers in another version's words")
        }
    }

    // MARK: One request

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
        let head =
            "\(method) \(target) HTTP/1.1\r\nHost: df2redis\r\nConnection: close\r\nContent-Length: \(body.count)\r\n\r\n"
        try send(Array(head.utf8) + body, on: descriptor)
        return try self.body(of: try receive(on: descriptor), expecting: status)
    }

    private func send(_ bytes: [UInt8], on descriptor: Int32) throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { bytes in
                retryingInterrupts { Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
            }
            guard count > 0 else {
                if errno == EPIPE { throw .notRunning(path) }
                if errno == EAGAIN { throw silence }
                throw .failed("\(SystemError("send", errno: errno, peer: path))")
            }
            rest = rest.dropFirst(count)
        }
    }

    /// Reads until the daemon closes the connection.
    private func receive(on descriptor: Int32) throws(Failure) -> String {
        UnixSocket.set(timeout, SO_RCVTIMEO, of: descriptor)
        var answer: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while answer.count < Self.answerLimit {
            let count = retryingInterrupts { recv(descriptor, &piece, piece.count, 0) }
            if count == 0 { break }
            if count < 0 {
                // The daemon died before it answered.
                if errno == ECONNRESET { throw .notRunning(path) }
                if errno == EAGAIN { throw silence }
                throw .failed("the daemon at \(path): \(SystemError("recv", errno: errno, peer: path))")
            }
            answer += piece[..<count]
        }
        if answer.isEmpty { throw .notRunning(path) }
        return String(decoding: answer, as: UTF8.self)
    }

    private func body(of answer: String, expecting status: Int) throws(Failure) -> String {
        let body = answer.firstRange(of: "\r\n\r\n").map { answer[$0.upperBound...] }
        let refusal = body.flatMap { try? RefusalDocument(json: $0) }
        let line = answer.prefix { !$0.isNewline }
        switch (line.split(separator: " ").dropFirst().first ?? "", body) {
        case ("\(status)", let body?): return String(body)
        case ("404", _), ("405", _): throw .outdated(path)
        case ("409", _?):
            let reason = refusal?.error ?? "the task refuses it"
            let isImpossible = refusal?.code == OperatorRequests.Refusal.Code.impossible.rawValue
            throw isImpossible ? .impossible(reason) : .refused(reason)
        case ("500", _?) where refusal != nil: throw .failed(refusal?.error ?? "")
        default: throw .failed("the daemon at \(path) answered '\(line)'")
        }
    }
}

extension ControlClient.Failure {
    /// The exit status of a command that got no answer from the task.
    package var exitStatus: ExitStatus {
        switch self {
        case .notRunning: .taskNotRunning
        case .notPermitted, .forbidden: .notPermitted
        case .failed: .fileFailed
        case .silent, .refused, .impossible, .outdated: .notDone
        }
    }
}
