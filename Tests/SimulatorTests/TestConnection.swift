import Glibc

@testable import DragonflySimulator

/// A blocking client socket; each read gives up after ten seconds.
final class TestConnection {
    let descriptor: Int32
    private var buffer: [UInt8] = []
    private var isOpen = true
    /// Kept alive, because a master without references stops.
    private let master: SimulatedMaster

    struct Gone: Error, Equatable {
        let code: Int32
    }

    init(to master: SimulatedMaster, receiveBuffer: Int32? = nil) throws {
        self.master = master
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if let receiveBuffer { Sockets.set(descriptor, SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
        Sockets.set(descriptor, SOL_SOCKET, SO_RCVTIMEO, timeval(tv_sec: 10, tv_usec: 0))
        Sockets.set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, Int32(1))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = master.port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Gone(code: errno) }
    }

    deinit { close() }

    func send(_ bytes: [UInt8]) {
        _ = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }

    func send(_ words: [[UInt8]]) {
        var bytes = Array("*\(words.count)\r\n".utf8)
        for word in words { bytes += Array("$\(word.count)\r\n".utf8) + word + [13, 10] }
        send(bytes)
    }

    func send(_ line: String) {
        send(line.split(separator: " ", omittingEmptySubsequences: false).map { Array($0.utf8) })
    }

    /// Sends words separated by single spaces and waits for the reply.
    @discardableResult
    func command(_ line: String) throws -> Reply {
        send(line)
        return try reply()
    }

    /// The next bytes, at least one; empty at the peer's FIN.
    private func more() throws -> [UInt8] {
        var room = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &room, room.count, 0)
        guard count >= 0 else { throw Gone(code: errno) }
        return Array(room[..<count])
    }

    func read(_ count: Int) throws -> [UInt8] {
        while buffer.count < count {
            let bytes = try more()
            if bytes.isEmpty { throw Gone(code: 0) }
            buffer += bytes
        }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    /// Everything up to the peer's FIN.
    func readToEnd() throws -> [UInt8] {
        while true {
            let bytes = try more()
            if bytes.isEmpty { break }
            buffer += bytes
        }
        defer { buffer = [] }
        return buffer
    }

    /// Everything up to and with the first occurrence of `mark`.
    func read(through mark: [UInt8]) throws -> [UInt8] {
        var searched = 0
        while true {
            var index = max(0, searched - mark.count)
            while index + mark.count <= buffer.count {
                if buffer[index] == mark[0], buffer[index..<(index + mark.count)].elementsEqual(mark) {
                    return try read(index + mark.count)
                }
                index += 1
            }
            searched = buffer.count
            let bytes = try more()
            if bytes.isEmpty { throw Gone(code: 0) }
            buffer += bytes
        }
    }

    /// Reads what has arrived, without waiting.
    func readAvailable() throws {
        var room = [UInt8](repeating: 0, count: 256 << 10)
        while true {
            let count = recv(descriptor, &room, room.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                buffer += room[..<count]
            } else if count == 0 || errno == EAGAIN {
                return
            } else {
                throw Gone(code: errno)
            }
        }
    }

    func hasRead(ending mark: [UInt8]) -> Bool { buffer.suffix(mark.count).elementsEqual(mark) }

    func takeRead() -> [UInt8] {
        defer { buffer = [] }
        return buffer
    }

    func reply() throws -> Reply {
        let line = try read(through: [13, 10]).dropLast(2)
        let text = String(decoding: line.dropFirst(), as: UTF8.self)
        switch line.first {
        case UInt8(ascii: "+"): return .simple(text)
        case UInt8(ascii: "-"): return .error(text)
        case UInt8(ascii: ":"): return .integer(Int64(text) ?? .min)
        case UInt8(ascii: "$"):
            guard let count = Int(text), count >= 0 else { return .null }
            return .bulk(Array(try read(count + 2).dropLast(2)))
        case UInt8(ascii: "*"): return .array(try (0..<(Int(text) ?? 0)).map { _ in try reply() })
        default: throw Gone(code: EPROTO)
        }
    }

    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    func close() {
        if isOpen { Glibc.close(descriptor) }
        isOpen = false
    }

    func reset() {
        if isOpen { Sockets.reset(descriptor) }
        isOpen = false
    }
}

/// Polls until `condition` holds; returns `false` after a minute, which allows for a busy machine.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < deadline {
        if try condition() { return true }
        usleep(1000)
    }
    return try condition()
}

extension Sockets {
    /// Bytes that the kernel holds for us to read.
    static func unread(_ descriptor: Int32) -> Int {
        var count: Int32 = 0
        return ioctl(descriptor, UInt(FIONREAD), &count) == 0 ? Int(count) : 0
    }
}
