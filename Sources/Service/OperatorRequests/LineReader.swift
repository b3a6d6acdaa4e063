import Glibc
import Link

/// Reads a file line by line, without the line ends; keeps no more than a block and a line in memory.
final class LineReader {
    private static let blockBytes = 256 << 10
    /// A longer line cannot be a key.
    private static let longestLine = 16 << 20

    private let path: String
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false

    init(_ path: String) throws(OperatorRequestFailure) {
        self.path = path == "-" ? "standard input" : path
        descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw OperatorRequestFailure("\(SystemError("open", errno: errno, peer: self.path))", .fileFailed)
        }
    }

    deinit { close(descriptor) }

    func next() throws(OperatorRequestFailure) -> [UInt8]? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { start = end + 1 }
                return line(to: end)
            }
            searched = buffer.count
            if isAtEnd {
                guard start < buffer.count else { return nil }
                defer { start = buffer.count }
                return line(to: buffer.count)
            }
            guard buffer.count - start <= Self.longestLine else {
                throw OperatorRequestFailure(
                    "\(path) has a line of more than \(Self.longestLine >> 20) MiB", .fileFailed)
            }
            searched -= start
            buffer.removeSubrange(..<start)
            start = 0
            try fill()
        }
    }

    private func line(to end: Int) -> [UInt8] {
        let line = buffer[start..<end]
        return Array(line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
    }

    private func fill() throws(OperatorRequestFailure) {
        var block = [UInt8](repeating: 0, count: Self.blockBytes)
        let count = retryingInterrupts { read(descriptor, &block, block.count) }
        guard count >= 0 else {
            throw OperatorRequestFailure("\(SystemError("read", errno: errno, peer: path))", .fileFailed)
        }
        isAtEnd = count == 0
        buffer += block[..<count]
    }
}
