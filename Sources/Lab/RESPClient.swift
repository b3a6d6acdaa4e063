import Foundation

/// A blocking RESP2 connection to a server on 127.0.0.1.
///
/// One thread at a time; every reply is read in the order of its command. A reply that does not come within `timeout`
/// is an error, and the connection is of no use after it.
package final class RESPClient {
    package let port: UInt16
    private let descriptor: Int32
    /// Received and not yet read: `input[start..<end]`.
    private var input = [UInt8](repeating: 0, count: 1 << 18)
    private var start = 0
    private var end = 0

    package init(port: UInt16, timeout: Duration = .seconds(30)) throws {
        self.port = port
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw LabError.system("socket") }
        var limit = timeval(tv_sec: Int(timeout.components.seconds), tv_usec: 0)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = loopback(port: port)
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if code != 0 {
            let error = LabError.system("connect", "127.0.0.1:\(port)")
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    // MARK: Commands

    /// Sends one command and answers its reply, an error reply included.
    package func send(_ arguments: [[UInt8]]) throws -> RESPValue {
        try write(encoded([arguments]))
        return try readReply()
    }

    /// Sends one command and answers its reply.
    ///
    /// - Throws: `LabError` with the text of an error reply.
    @discardableResult
    package func command(_ words: String...) throws -> RESPValue { try command(words) }

    /// As the form with single words.
    @discardableResult
    package func command(_ words: [String]) throws -> RESPValue {
        let reply = try send(words.map { Array($0.utf8) })
        if case .error(let text) = reply { throw LabError("\(words.first ?? "") on port \(port): \(text)") }
        return reply
    }

    /// Sends all commands, then reads all replies, error replies included.
    package func pipeline(_ commands: [[[UInt8]]]) throws -> [RESPValue] {
        try write(encoded(commands))
        return try commands.map { _ in try readReply() }
    }

    /// A field of INFO, such as `redis_version`.
    package func info(_ section: String, _ field: String) throws -> String? {
        guard let text = try command("INFO", section).text else { return nil }
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("\(field):") }
        return line.map { String($0.dropFirst(field.count + 1)) }
    }

    private func encoded(_ commands: [[[UInt8]]]) -> [UInt8] {
        var bytes: [UInt8] = []
        for arguments in commands {
            bytes += "*\(arguments.count)\r\n".utf8
            for argument in arguments {
                bytes += "$\(argument.count)\r\n".utf8
                bytes += argument
                bytes += "\r\n".utf8
            }
        }
        return bytes
    }

    // MARK: Bytes

    private func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { buffer in
            var sent = 0
            while sent < buffer.count {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[sent...])
                let written = Foundation.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
                if written > 0 {
                    sent += written
                } else if errno != EINTR {
                    throw LabError.system("send", "to 127.0.0.1:\(port)")
                }
            }
        }
    }

    /// Receives what has arrived, at least a byte.
    private func fill() throws {
        if start > 0 {
            input.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                memmove(base, base + start, end - start)
            }
            (start, end) = (0, end - start)
        }
        if end == input.count { input += [UInt8](repeating: 0, count: input.count) }
        while true {
            let received = input.withUnsafeMutableBytes { bytes in
                recv(descriptor, bytes.baseAddress.map { $0 + end }, bytes.count - end, 0)
            }
            if received > 0 {
                end += received
                return
            }
            if received == 0 { throw LabError("127.0.0.1:\(port) closed the connection") }
            if errno != EINTR { throw LabError.system("recv", "from 127.0.0.1:\(port)") }
        }
    }

    /// The next line without its CR LF.
    private func readLine() throws -> [UInt8] {
        var searched = 0
        while true {
            let length = input.withUnsafeBytes { bytes -> Int? in
                guard let base = bytes.baseAddress, end - start > searched else { return nil }
                let found = memchr(base + start + searched, Int32(UInt8(ascii: "\n")), end - start - searched)
                return found.map { UnsafeRawPointer($0) - (base + start) }
            }
            if let length {
                defer { start += length + 1 }
                return Array(input[start..<start + max(length - 1, 0)])
            }
            searched = end - start
            try fill()
        }
    }

    private func readBytes(_ count: Int) throws -> [UInt8] {
        while end - start < count + 2 { try fill() }
        defer { start += count + 2 }
        return Array(input[start..<start + count])
    }

    private func readReply() throws -> RESPValue {
        let line = try readLine()
        let text = String(decoding: line.dropFirst(), as: UTF8.self)
        switch line.first {
        case UInt8(ascii: "+"): return .simple(text)
        case UInt8(ascii: "-"): return .error(text)
        case UInt8(ascii: ":"): if let value = Int64(text) { return .integer(value) }
        case UInt8(ascii: "$"): if let count = Int(text) { return .bulk(count < 0 ? nil : try readBytes(count)) }
        case UInt8(ascii: "*"):
            if let count = Int(text) {
                return .array(count < 0 ? nil : try (0..<count).map { _ in try readReply() })
            }
        default: break
        }
        throw LabError(
            "127.0.0.1:\(port) answered what is no RESP2: \(String(decoding: line.prefix(80), as: UTF8.self))")
    }
}

extension RESPValue {
    /// The bytes of a string reply.
    package var bytes: [UInt8]? {
        switch self {
        case .bulk(let bytes): bytes
        case .simple(let text): Array(text.utf8)
        default: nil
        }
    }

    /// The text of a string reply.
    package var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

    /// The value of an integer reply.
    package var integer: Int? {
        if case .integer(let value) = self { Int(value) } else { nil }
    }

    /// The elements of an array reply.
    package var elements: [RESPValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }
}
