import Glibc
import Link
import Wire

/// Keys in files, one file for each bucket. Entries are appended in memory, flushed when a batch ends, and read once from
/// front to back.
///
/// ```
/// <folder>/<bucket>             entries, each: u32 LE length of the key | u32 LE database | u8 alias | key
/// <folder>/<bucket>.<number>    a bucket that is being read
/// ```
/// If a file ends in the middle of an entry because its writer was killed, its data end before that entry.
///
/// Not Sendable: it belongs to one flow.
final class WheelBuckets {
    struct Entry {
        var database: UInt32
        var alias: UInt8
        var key: [UInt8]
    }

    /// The length of the longest key that gets an entry.
    static let longestKey = 1 << 20
    /// The size at which a buffer in memory is written to its file.
    private static let bufferBytes = 64 << 10
    private static let headBytes = 9

    private let folder: String
    /// The buffers by bucket, created when first needed.
    private var buffers: [Buffer?] = Array(repeating: nil, count: 256)
    /// Buckets whose buffers hold something.
    private var unwritten: [UInt8] = []
    /// The buckets that have a file.
    private(set) var filled: Set<UInt8> = []
    private var drained = 0
    private(set) var failure: SystemError?

    private final class Buffer {
        var entries = ByteBuffer()
    }

    /// - Parameter folder: an existing folder. Its files are kept.
    init(folder: String) { self.folder = folder }

    /// Finds the buckets of an earlier process.
    ///
    /// - Returns: the buckets that it was reading.
    func findFiles() -> [Drain] {
        var found: [Drain] = []
        for name in WheelFolder.entries(of: folder) {
            let parts = name.split(separator: ".")
            guard let bucket = parts.first.flatMap({ UInt8($0) }) else { continue }
            if parts.count == 1 { filled.insert(bucket) }
            if parts.count == 2, let number = Int(parts[1]) {
                drained = max(drained, number)
                found.append(Drain(bucket: bucket, path: "\(folder)/\(name)"))
            }
        }
        return found
    }

    func put(_ key: RawSpan, database: UInt32, alias: UInt8, in bucket: UInt8) {
        let buffer = buffers[Int(bucket)] ?? Buffer()
        buffers[Int(bucket)] = buffer
        if buffer.entries.isEmpty { unwritten.append(bucket) }
        buffer.entries.appendEntry(key, database: database, alias: alias)
        if buffer.entries.count >= Self.bufferBytes { flush(bucket) }
    }

    /// Writes all buffers to their files.
    func flush() {
        while let bucket = unwritten.last { flush(bucket) }
    }

    private func flush(_ bucket: UInt8) {
        unwritten.removeAll { $0 == bucket }
        guard let buffer = buffers[Int(bucket)] else { return }
        defer { buffer.entries.removeAll() }
        let path = "\(folder)/\(bucket)"
        let descriptor = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return fail("open", path) }
        defer { close(descriptor) }
        filled.insert(bucket)
        let before = lseek(descriptor, 0, SEEK_END)
        let isWritten = buffer.entries.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
                let count = retryingInterrupts { write(descriptor, rest.baseAddress, rest.count) }
                guard count > 0 else { return false }
                done += count
            }
            return true
        }
        if isWritten { return }
        fail("write", path)
        // Half an entry would hide the entries after it.
        _ = ftruncate(descriptor, before)
    }

    private func fail(_ call: String, _ path: String) {
        if failure == nil { failure = SystemError(call, errno: errno, peer: path) }
    }

    /// Returns the first failure since the last call, if any.
    func takeFailure() -> SystemError? {
        defer { failure = nil }
        return failure
    }

    // MARK: Draining

    /// A bucket that is being read. Its file is removed when `next` reaches the end.
    final class Drain {
        let bucket: UInt8
        let path: String
        private var descriptor: Int32 = -1
        private var window = ByteBuffer()
        private var hasEnded = false

        init(bucket: UInt8, path: String) { (self.bucket, self.path) = (bucket, path) }

        deinit { if descriptor >= 0 { close(descriptor) } }

        /// - Returns: `nil` at the end; the file has then been removed.
        func next() -> Entry? {
            while true {
                if let entry = window.takeEntry() { return entry }
                // No entry is this long, so the rest is not an entry.
                guard !hasEnded, window.count <= longestKey + headBytes, fill() else {
                    unlink(path)
                    return nil
                }
            }
        }

        private func fill() -> Bool {
            if descriptor < 0 { descriptor = open(path, O_RDONLY | O_CLOEXEC) }
            guard descriptor >= 0 else { return false }
            var count = 0
            window.appendUninitialized(minimum: 64 << 10) { room in
                count = retryingInterrupts { read(descriptor, room.baseAddress, room.count) }
                return max(count, 0)
            }
            hasEnded = count <= 0
            return !hasEnded
        }
    }

    /// Begins to read a bucket. Entries that are put there from now on go to a new file.
    ///
    /// - Returns: `nil` if the bucket is empty.
    func drain(_ bucket: UInt8) -> Drain? {
        if unwritten.contains(bucket) { flush(bucket) }
        guard filled.remove(bucket) != nil else { return nil }
        drained += 1
        let path = "\(folder)/\(bucket).\(drained)"
        guard rename("\(folder)/\(bucket)", path) == 0 else {
            fail("rename", path)
            return nil
        }
        return Drain(bucket: bucket, path: path)
    }
}

extension ByteBuffer {
    fileprivate mutating func appendEntry(_ key: RawSpan, database: UInt32, alias: UInt8) {
        append(littleEndian: UInt32(key.byteCount))
        append(littleEndian: database)
        append(alias)
        append(key)
    }

    fileprivate mutating func takeEntry() -> WheelBuckets.Entry? {
        guard let (entry, count) = Self.entry(at: bytes) else { return nil }
        removeFirst(count)
        return entry
    }

    private static func entry(at bytes: RawSpan) -> (WheelBuckets.Entry, byteCount: Int)? {
        var reader = ByteReader(bytes)
        guard let length = reader.readLittleEndian(UInt32.self), length <= WheelBuckets.longestKey,
            let database = reader.readLittleEndian(UInt32.self), let alias = reader.readUInt8(),
            let key = reader.readSpan(Int(length))
        else { return nil }
        return (.init(database: database, alias: alias, key: Array(copying: key)), reader.offset)
    }
}
