import Glibc
import Link
import Wire

/// Keys in files, one file a bucket: appended in memory, flushed when a batch is closed, read from front to back once.
///
/// ```
/// <folder>/<bucket>             entries, each: u32 LE length of the key | u32 LE database | u8 alias | key
/// <folder>/<bucket>.<number>    a bucket that is being gone through
/// ```
/// A file that ends in the middle of an entry (its writer was killed) ends before it.
///
/// Not Sendable: it belongs to one flow.
final class WheelBuckets {
    struct Entry {
        var database: UInt32
        var alias: UInt8
        var key: [UInt8]
    }

    /// A longer key has no entry.
    static let longestKey = 1 << 20
    /// What waits in memory is written out from here on.
    private static let bufferBytes = 64 << 10
    private static let headBytes = 9

    private let folder: String
    /// By bucket; made when first needed.
    private var buffers: [Buffer?] = Array(repeating: nil, count: 256)
    /// Buckets whose buffers hold something.
    private var unwritten: [UInt8] = []
    /// Files that are there.
    private(set) var filled: Set<UInt8> = []
    private var drained = 0
    private(set) var failure: SystemError?

    private final class Buffer {
        var entries = ByteBuffer()
    }

    /// - Parameter folder: which exists; what lies there is kept.
    init(folder: String) { self.folder = folder }

    /// Finds the buckets of an earlier process.
    ///
    /// - Returns: those that it was going through.
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

    /// Writes out what is in memory.
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
        // Half an entry would hide what comes after it.
        _ = ftruncate(descriptor, before)
    }

    private func fail(_ call: String, _ path: String) {
        if failure == nil { failure = SystemError(call, errno: errno, peer: path) }
    }

    /// The failure since the last call, if there was one.
    func takeFailure() -> SystemError? {
        defer { failure = nil }
        return failure
    }

    // MARK: Draining

    /// A bucket being gone through; the file is removed with it when `next` has come to the end.
    final class Drain {
        let bucket: UInt8
        let path: String
        private var descriptor: Int32 = -1
        private var window = ByteBuffer()
        private var hasEnded = false

        init(bucket: UInt8, path: String) { (self.bucket, self.path) = (bucket, path) }

        deinit { if descriptor >= 0 { close(descriptor) } }

        /// - Returns: `nil` at the end; the file is gone then.
        func next() -> Entry? {
            while true {
                if let entry = window.takeEntry() { return entry }
                // An entry is never so long: what follows is none.
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

    /// Begins to go through a bucket: what is put there from now on is in a new one.
    ///
    /// - Returns: `nil` when it is empty.
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
        return (.init(database: database, alias: alias, key: key.withUnsafeBytes { Array($0) }), reader.offset)
    }
}
