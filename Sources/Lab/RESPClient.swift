import Foundation
package import Wire

/// A blocking RESP2 connection to a server.
///
/// Only one thread may use it at a time; replies are read in the order of their commands. If a reply does not arrive
/// within `timeout`, that is an error, and the connection cannot be used any more.
package final class RESPClient {
    /// `host:port` of the server.
    package let address: String
    private let descriptor: Int32
    /// Bytes that were received and not yet read.
    private var input = ByteBuffer()

    package init(host: String = "127.0.0.1", port: UInt16, timeout: Duration = .seconds(30)) throws {
        address = "\(host):\(port)"
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, "\(port)", &hints, &list)
        guard code == 0 else { throw LabError("\(address): \(String(cString: gai_strerror(code)))") }
        defer { freeaddrinfo(list) }
        var failure = LabError("\(address): no address")
        for entry in sequence(first: list, next: { $0?.pointee.ai_next }) {
            guard let entry = entry?.pointee else { break }
            let descriptor = socket(entry.ai_family, entry.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { throw LabError.system("socket") }
            Self.setOptions(of: descriptor, timeout)
            if connect(descriptor, entry.ai_addr, entry.ai_addrlen) == 0 {
                self.descriptor = descriptor
                return
            }
            failure = LabError.system("connect", address)
            close(descriptor)
        }
        throw failure
    }

    private static func setOptions(of descriptor: Int32, _ timeout: Duration) {
        var limit = timeval(tv_sec: Int(timeout.components.seconds), tv_usec: 0)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { close(descriptor) }

    // MARK: Commands

    /// Sends one command and returns its reply, which may be an error reply.
    package func send(_ arguments: [[UInt8]]) throws -> RESPValue {
        try write(encoded([arguments]))
        return try readReply()
    }

    /// Sends one command and returns its reply.
    ///
    /// - Throws: `LabError` with the text of an error reply.
    @discardableResult
    package func command(_ words: String...) throws -> RESPValue { try command(words) }

    /// Does the same as the variadic form.
    @discardableResult
    package func command(_ words: [String]) throws -> RESPValue {
        let reply = try send(words.map { Array($0.utf8) })
        if case .error(let text) = reply { throw LabError("\(words.first ?? "") at \(address): \(text)") }
        return reply
    }

    /// Sends all commands, then reads all replies, including error replies.
    package func pipeline(_ commands: [[[UInt8]]]) throws -> [RESPValue] {
        try write(encoded(commands))
        return try commands.map { _ in try readReply() }
    }

    /// Sends all commands and reads no reply; afterwards, the connection cannot be used for other requests.
    package func post(_ commands: [[[UInt8]]]) throws { try write(encoded(commands)) }

    /// A field of INFO, such as `redis_version`.
    package func info(_ section: String, _ field: String) throws -> String? {
        ServerInfo(try command("INFO", section).text)[field]
    }

    private func encoded(_ commands: [[[UInt8]]]) -> ByteBuffer {
        var buffer = ByteBuffer()
        for arguments in commands {
            buffer.appendCommandHead(arguments.count)
            for argument in arguments { buffer.appendBulk(argument.span.bytes) }
        }
        return buffer
    }

    // MARK: Bytes

    private func write(_ bytes: borrowing ByteBuffer) throws {
        try bytes.withUnsafeBytes { buffer in
            var sent = 0
            while sent < buffer.count {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[sent...])
                let written = Foundation.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
                if written > 0 {
                    sent += written
                } else if errno != EINTR {
                    throw LabError.system("send", "to \(address)")
                }
            }
        }
    }

    /// Reads the next reply, or the next message that the server sends on its own (MONITOR).
    package func read() throws -> RESPValue { try readReply() }

    private func readReply() throws -> RESPValue {
        while true {
            let (value, count) = try Self.firstReply(in: input)
            input.removeFirst(count)
            if let value { return value }
            try fill()
        }
    }

    /// The reply at the front of `buffer` and its length; `nil` if its end is missing.
    private static func firstReply(in buffer: borrowing ByteBuffer) throws -> (RESPValue?, count: Int) {
        var reader = ByteReader(buffer.bytes)
        return (try reader.readRESPValue(), reader.offset)
    }

    /// Receives what has arrived, at least a byte.
    private func fill() throws {
        try input.appendUninitialized(minimum: 1 << 18) { room in
            while true {
                let received = recv(descriptor, room.baseAddress, room.count, 0)
                if received > 0 { return received }
                if received == 0 { throw LabError("\(address) closed the connection") }
                if errno != EINTR { throw LabError.system("recv", "from \(address)") }
            }
        }
    }
}
