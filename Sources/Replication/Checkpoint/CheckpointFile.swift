import FoundationEssentials
import Glibc
import Link
import Wire

/// What a task's checkpoint file holds: the positions of all flows as one unit, and what the task has done to the target.
struct CheckpointRecord: Equatable, Sendable, Codable {
    var task: String
    /// The server process that the positions speak of: another one may have lost what the one before had confirmed.
    var targetRunID = ""
    var replicationID: String?
    /// By flow number; empty when there is no position to go on from.
    var nextLSNs: [UInt64] = []
    /// Nothing behind the positions has been applied: the task has left in order.
    var isExact = false
    /// Databases that the task has filled; `nil` when it has not finished a full sync.
    var databases: Set<UInt32>?
    /// As `TaskRecord.filling`, in its text.
    var filling: String?
    /// A full sync brought its keys, and was ended before it had removed the old ones.
    var isReconciling = false
    /// Why there is no position.
    var stopped: String?
    /// `DataSetNote`, in its text.
    var counts: String?

    init(task: String) { self.task = task }
}

/// The checkpoint file: replaced as a whole, so that a crash leaves the old one or the new one.
///
/// ```
/// {"df2redis-checkpoint":1,"crc64":"<16 hex digits>","record":{...}}\n
/// ```
/// The checksum is that of the bytes of the record.
struct CheckpointFile: Sendable {
    enum Contents: Equatable {
        case missing
        case record(CheckpointRecord)
        /// A checkpoint file that cannot be believed.
        case damaged(String)
        /// Something else, which is not ours to replace.
        case foreign(String)
    }

    private static let magic = Array(#"{"df2redis-checkpoint":"#.utf8)
    private static let head = Array(#"{"df2redis-checkpoint":1,"crc64":""#.utf8)
    private static let middle = Array(#"","record":"#.utf8)
    private static let end = Array("}\n".utf8)
    /// 4,096 flows take a tenth of it.
    private static let maxBytes = 1 << 20

    let path: String
    let task: String

    /// - Throws: `SystemError` when the file is there and cannot be read.
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

    /// Writes a new file, brings it to the disk, and lets it take the old one's name.
    func write(_ record: CheckpointRecord) throws(SystemError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        guard let json = try? encoder.encode(record) else { preconditionFailure("a record can be written as JSON") }
        let body = Array(json)
        var bytes = Self.head + Array(Self.checksum(body).utf8) + Self.middle + body + Self.end
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: temporary) }
        let count = bytes.count
        let written = retryingInterrupts { Glibc.write(descriptor, &bytes, count) }
        var code: Int32? = written == count ? nil : written < 0 ? errno : ENOSPC
        if code == nil, fsync(descriptor) != 0 { code = errno }
        close(descriptor)
        if let code {
            unlink(temporary)
            throw SystemError("write", errno: code, peer: temporary)
        }
        guard rename(temporary, path) == 0 else { throw SystemError("rename", errno: errno, peer: path) }
        try syncFolder()
    }

    /// - Throws: `SystemError` when it is there and cannot be removed.
    func remove() throws(SystemError) {
        if unlink(path) != 0 {
            if errno == ENOENT { return }
            throw SystemError("unlink", errno: errno, peer: path)
        }
        try syncFolder()
    }

    /// A name that is only in memory would be gone after a crash of the machine.
    private func syncFolder() throws(SystemError) {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SystemError("fsync", errno: errno, peer: folder) }
    }
}
