import Glibc
import Link
import Wire

/// Keys in files, one file a shelf: appended in memory, flushed when a batch is closed, read from front to back once.
///
/// ```
/// <folder>/<shelf>             entries, each: u32 LE length of the key | u32 LE database | u8 alias | key
/// <folder>/<shelf>.<number>    a shelf that has been taken down and is being gone through
/// ```
/// A file that ends in the middle of an entry (its writer was killed) ends before it.
///
/// Not Sendable: it belongs to one flow.
final class DeadlineShelves {
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
    /// By shelf; made when first needed.
    private var buffers: [Buffer?] = Array(repeating: nil, count: 256)
    /// Shelves whose buffers hold something.
    private var unwritten: [UInt8] = []
    /// Files that are there.
    private(set) var filled: Set<UInt8> = []
    private var taken = 0
    private(set) var failure: SystemError?

    private final class Buffer {
        var entries = ByteBuffer()
    }

    /// - Parameter folder: which exists; what lies there is kept.
    init(folder: String) { self.folder = folder }

    /// Shelves of an earlier process that it had taken down, then those that still stand.
    ///
    /// - Returns: those that had been taken down.
    func findFiles() -> [Taken] {
        var found: [Taken] = []
        for name in BookFolder.entries(of: folder) {
            let parts = name.split(separator: ".")
            guard let shelf = parts.first.flatMap({ UInt8($0) }) else { continue }
            if parts.count == 1 { filled.insert(shelf) }
            if parts.count == 2, let number = Int(parts[1]) {
                taken = max(taken, number)
                found.append(Taken(shelf: shelf, path: "\(folder)/\(name)"))
            }
        }
        return found
    }

    func put(_ key: RawSpan, database: UInt32, alias: UInt8, on shelf: UInt8) {
        let buffer = buffers[Int(shelf)] ?? Buffer()
        buffers[Int(shelf)] = buffer
        if buffer.entries.isEmpty { unwritten.append(shelf) }
        buffer.entries.appendEntry(key, database: database, alias: alias)
        if buffer.entries.count >= Self.bufferBytes { flush(shelf) }
    }

    /// Writes out what is in memory.
    func flush() {
        while let shelf = unwritten.last { flush(shelf) }
    }

    private func flush(_ shelf: UInt8) {
        unwritten.removeAll { $0 == shelf }
        guard let buffer = buffers[Int(shelf)] else { return }
        defer { buffer.entries.removeAll() }
        let path = "\(folder)/\(shelf)"
        let descriptor = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return fail("open", path) }
        defer { close(descriptor) }
        filled.insert(shelf)
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
        // Half an entry would hide what comes behind it.
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

    // MARK: Taking down

    /// A shelf being gone through; the file is removed with it when `next` has come to the end.
    final class Taken {
        let shelf: UInt8
        let path: String
        private var descriptor: Int32 = -1
        private var window = ByteBuffer()
        private var hasEnded = false

        init(shelf: UInt8, path: String) { (self.shelf, self.path) = (shelf, path) }

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

    /// Takes a shelf down: what is put there from now on stands on a new one.
    ///
    /// - Returns: `nil` when it is empty.
    func take(_ shelf: UInt8) -> Taken? {
        if unwritten.contains(shelf) { flush(shelf) }
        guard filled.remove(shelf) != nil else { return nil }
        taken += 1
        let path = "\(folder)/\(shelf).\(taken)"
        guard rename("\(folder)/\(shelf)", path) == 0 else {
            fail("rename", path)
            return nil
        }
        return Taken(shelf: shelf, path: path)
    }
}

extension ByteBuffer {
    fileprivate mutating func appendEntry(_ key: RawSpan, database: UInt32, alias: UInt8) {
        append(littleEndian: UInt32(key.byteCount))
        append(littleEndian: database)
        append(alias)
        append(key)
    }

    fileprivate mutating func takeEntry() -> DeadlineShelves.Entry? {
        guard let (entry, count) = Self.entry(at: bytes) else { return nil }
        removeFirst(count)
        return entry
    }

    private static func entry(at bytes: RawSpan) -> (DeadlineShelves.Entry, byteCount: Int)? {
        var reader = ByteReader(bytes)
        guard let length = reader.readLittleEndian(UInt32.self), length <= DeadlineShelves.longestKey,
            let database = reader.readLittleEndian(UInt32.self), let alias = reader.readUInt8(),
            let key = reader.readSpan(Int(length))
        else { return nil }
        return (.init(database: database, alias: alias, key: key.withUnsafeBytes { Array($0) }), reader.offset)
    }
}
