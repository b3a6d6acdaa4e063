import Foundation

/// An HTTP/1.1 response.
package struct HTTPAnswer: Sendable {
    package var status: Int
    /// The header fields by name in lower case.
    package var headers: [String: String]
    package var body: String

    package init(parsing text: String) throws {
        guard let end = text.range(of: "\r\n\r\n") else { throw LabError("no HTTP answer: '\(text.prefix(200))'") }
        let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
        let words = (lines.first ?? "").split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else { throw LabError("no status: '\(text.prefix(200))'") }
        self.status = status
        headers = Dictionary(
            lines.dropFirst().compactMap { line -> (String, String)? in
                guard let colon = line.firstIndex(of: ":") else { return nil }
                return (
                    line[..<colon].lowercased(),
                    line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
                )
            }, uniquingKeysWith: { $1 })
        body = String(text[end.upperBound...])
    }

    /// The body as a JSON object.
    package func object() throws -> [String: Any] {
        guard let object = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any] else {
            throw LabError("no JSON object: '\(body.prefix(200))'")
        }
        return object
    }
}

/// A blocking connection on which a test can send whatever it wants, byte by byte if necessary.
package final class HTTPClient {
    private let descriptor: Int32

    package init(port: UInt16, timeout: Duration = .seconds(30)) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw LabError.system("socket") }
        setTimeout(timeout)
        var address = loopback(port: port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
        }
        // (All properties are initialized, so `deinit` closes the descriptor even though the initializer throws.)
        if code != 0 { throw LabError.system("connect", "127.0.0.1:\(port)") }
    }

    package init(socket path: String, timeout: Duration = .seconds(30)) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw LabError.system("socket") }
        setTimeout(timeout)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes.prefix($0.count - 1)) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
        }
        if code != 0 { throw LabError.system("connect", path) }
    }

    deinit { close(descriptor) }

    private func setTimeout(_ timeout: Duration) {
        var limit = timeval(tv_sec: Int(timeout.components.seconds), tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// - Returns: whether all bytes were sent.
    @discardableResult
    package func write(_ text: String) -> Bool { write(Array(text.utf8)) }

    func write(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Reads until the other side closes.
    ///
    /// - Throws: `LabError` if nothing arrives within the time limit.
    package func readAll() throws -> String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = recv(descriptor, &piece, piece.count, 0)
            if count < 0, errno == ECONNRESET { break }
            if count < 0 { throw LabError.system("recv") }
            if count == 0 { break }
            bytes += piece[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Reads a response up to its content length, or until the other side closes.
    private func readAnswer() throws -> String {
        var bytes: [UInt8] = []
        while true {
            let text = String(decoding: bytes, as: UTF8.self)
            if let head = text.range(of: "\r\n\r\n"),
                let length = text[..<head.upperBound].range(
                    of: "content-length: *", options: [.regularExpression, .caseInsensitive]),
                let count = Int(text[length.upperBound...].prefix { $0.isNumber }),
                bytes.count >= text[..<head.upperBound].utf8.count + count
            {
                return text
            }
            let piece = try readSome()
            if piece.isEmpty { return text }
            bytes += piece
        }
    }

    /// Receives the bytes that have arrived, at least one; empty if the other side has closed.
    func readSome() throws -> [UInt8] {
        var piece = [UInt8](repeating: 0, count: 256 << 10)
        let count = recv(descriptor, &piece, piece.count, 0)
        guard count >= 0 else { throw LabError.system("recv") }
        return Array(piece[..<count])
    }

    package func request(
        _ path: String, method: String = "GET", headers: [String: String] = [:]
    ) throws -> HTTPAnswer {
        let fields = headers.map { "\($0.key): \($0.value)\r\n" }.joined()
        if method == "HEAD" {
            write("HEAD \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(fields)\r\n")
            return try HTTPAnswer(parsing: readAll())
        }
        write("\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(fields)\r\n")
        return try HTTPAnswer(parsing: readAnswer())
    }

    package static func get(_ path: String, port: UInt16, headers: [String: String] = [:]) throws -> HTTPAnswer {
        try HTTPClient(port: port).request(path, headers: headers)
    }
}
