import FoundationEssentials
import Glibc
import Link
import Wire

/// The checkpoint file. It is replaced as a whole, so a crash leaves either the old file or the new one.
///
/// ```
/// {"df2redis-checkpoint":1,"crc64":"<16 hex digits>","record":{...}}\n
/// ```
/// The checksum covers the bytes of the record.
struct CheckpointFile: Sendable {
    enum Contents: Equatable {
        case missing
        case record(CheckpointRecord)
        /// A checkpoint file that cannot be trusted.
        case damaged(String)
        /// Another file, which df2redis must not replace.
        case foreign(String)
    }

    private static let magic = Array(#"{"df2redis-checkpoint":"#.utf8)
    private static let head = Array(#"{"df2redis-checkpoint":1,"crc64":""#.utf8)
    private static let middle = Array(#"","record":"#.utf8)
    private static let end = "}\n".bytes
    /// 4,096 flows need a tenth of this.
    private static let maxBytes = 1 << 20

    let path: String
    let task: String

    /// - Throws: `SystemError` if the file exists and cannot be read.
    func read() throws(SystemError) -> Contents {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return .missing }
            throw SystemError("open", errno: errno, peer: path)
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= Self.maxBytes {
            let count = retryingInterrupts { Glibc.read(descriptor, &block, block.count) }
            guard count >= 0 else { throw SystemError("read", errno: errno, peer: path) }
            if count == 0 { break }
            bytes += block[..<count]
        }
        return contents(of: bytes)
    }

    private func contents(of bytes: [UInt8]) -> Contents {
        if bytes.isEmpty || (bytes.count < Self.magic.count && Self.magic.starts(with: bytes)) {
            return .damaged("it is cut short")
        }
        guard bytes.starts(with: Self.magic) else { return .foreign("it is no checkpoint file of df2redis") }
        let text = bytes.count > Self.head.count + 16 ? bytes[Self.head.count...].prefix(16) : []
        let start = Self.head.count + 16 + Self.middle.count
        if bytes.count > Self.magic.count + 1, bytes[Self.magic.count] != UInt8(ascii: "1") {
            return .foreign("another version of df2redis has written it")
        }
        guard bytes.count > start + Self.end.count, bytes.starts(with: Self.head),
            bytes[..<start].suffix(Self.middle.count).elementsEqual(Self.middle),
            bytes.suffix(Self.end.count).elementsEqual(Self.end)
        else { return .damaged("it is cut short or overwritten") }
        let record = Array(bytes[start..<(bytes.count - Self.end.count)])
        guard String(decoding: text, as: UTF8.self) == Self.checksum(record),
            let decoded = try? JSONDecoder().decode(CheckpointRecord.self, from: Data(record))
        else { return .damaged("its checksum is wrong") }
        guard decoded.task == task else { return .foreign("it is the checkpoint of the task \"\(decoded.task)\"") }
        return .record(decoded)
    }

    private static func checksum(_ bytes: [UInt8]) -> String {
        var checksum = CRC64()
        checksum.update(bytes.span.bytes)
        let digits = String(checksum.value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Writes a new file, syncs it to the disk, and renames it over the old one.
    func write(_ record: CheckpointRecord) throws(SystemError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        guard let json = try? encoder.encode(record) else { preconditionFailure("a record can be written as JSON") }
        let body = Array(json)
        let bytes = Self.head + Self.checksum(body).bytes + Self.middle + body + Self.end
        try AtomicFile(path: path).write(bytes, isDurable: true)
    }

    /// - Throws: `SystemError` if the file exists and cannot be removed.
    func remove() throws(SystemError) { try AtomicFile(path: path).remove() }
}
