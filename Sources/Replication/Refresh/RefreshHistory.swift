import Dragonfly
import Glibc
import Link
import Wire

/// The keys that were refreshed last, each with the flow's mark at that time, in files of the task.
///
/// If a target comes back without its last writes, it lacks the values of these keys, and no record brings them again.
///
/// ```
/// head:  "df2rfdn1" | u64 LE 1 if entries have been dropped of which nothing is known, else 0
/// entry: u32 LE bytes of the key | u32 LE database | u16 LE flow | u8 origin | u8 0
///        | u64 LE next LSN | u64 LE count beside the stream | u32 LE check | key
/// ```
/// The check is the low half of XXH64 over the entry without the check. A full file becomes `<path>.old` in place of the
/// previous one. Before that, the last mark of each flow in the previous one is appended to the full file, as an entry
/// without a key. A killed process loses no entry; a machine that fails may lose the last ones.
///
/// Not Sendable: it belongs to its queue.
final class RefreshHistory {
    private struct Entry {
        var request: RefreshRequest
        var mark: StreamMark

        /// Whether the entry is the last mark of its flow among dropped entries.
        var isOfDropped: Bool { request.key.key.isEmpty }
    }

    /// The refreshed keys that a target lacks.
    struct Lost {
        var requests: [RefreshRequest] = []
        /// Whether the target may also lack older ones, which are not remembered.
        var mayBeMore = false
    }

    private static let magic = "df2rfdn1".bytes
    private static let headBytes = 16
    private static let entryHeadBytes = 32

    private let path: String
    private let mostBytes: Int
    private var descriptor: Int32
    private var end = 0
    private var hasDropped = false
    private var older: String { path + ".old" }

    /// Opens or creates the file. A file of another kind is begun anew.
    ///
    /// - Throws: `SystemError`.
    init(path: String, mostBytes: Int = 8 << 20) throws(SystemError) {
        self.path = path
        self.mostBytes = mostBytes
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: path) }
        if let found = try Self.read(descriptor, path, { _ in }) {
            (end, hasDropped) = (found.end, found.hasDropped)
            // Remove the rest of an entry that a crash has cut short.
            _ = ftruncate(descriptor, off_t(end))
        } else {
            try begin(descriptor)
        }
    }

    deinit { close(descriptor) }

    // MARK: Writing

    /// - Throws: `SystemError`; the entry counts as dropped then.
    func append(_ request: RefreshRequest, at mark: StreamMark) throws(SystemError) {
        do throws(SystemError) {
            if end >= mostBytes { try makeRoom() }
            var bytes = ByteBuffer(capacity: Self.entryHeadBytes + request.key.key.count)
            Self.append(Entry(request: request, mark: mark), to: &bytes)
            try Self.write(bytes, to: descriptor, at: end, path)
            end += bytes.count
        } catch {
            if !hasDropped {
                hasDropped = true
                try? writeHead(to: descriptor)
            }
            throw error
        }
    }

    private func makeRoom() throws(SystemError) {
        try keepMarksOfOlder()
        guard rename(path, older) == 0 else { throw SystemError("rename", errno: errno, peer: path) }
        let next = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard next >= 0 else { throw SystemError("open", errno: errno, peer: path) }
        close(descriptor)
        descriptor = next
        try begin(next)
    }

    private func keepMarksOfOlder() throws(SystemError) {
        var marks: [FlowID: StreamMark] = [:]
        try readOlder { marks[$0.request.flow] = max(marks[$0.request.flow] ?? $0.mark, $0.mark) }
        var bytes = ByteBuffer(capacity: 0)
        for (flow, mark) in marks {
            let nothing = RefreshRequest(RefreshKey(database: 0, key: []), flow: flow)
            Self.append(Entry(request: nothing, mark: mark), to: &bytes)
        }
        try Self.write(bytes, to: descriptor, at: end, path)
        end += bytes.count
    }

    private func begin(_ descriptor: Int32) throws(SystemError) {
        guard ftruncate(descriptor, 0) == 0 else { throw SystemError("ftruncate", errno: errno, peer: path) }
        try writeHead(to: descriptor)
        end = Self.headBytes
    }

    private func writeHead(to descriptor: Int32) throws(SystemError) {
        var head = ByteBuffer(capacity: Self.headBytes)
        head.append(Self.magic.span.bytes)
        head.append(littleEndian: UInt64(hasDropped ? 1 : 0))
        try Self.write(head, to: descriptor, at: 0, path)
    }

    /// Removes all entries, because a full sync brings every key.
    func forget() throws(SystemError) {
        hasDropped = false
        unlink(older)
        try begin(descriptor)
    }

    // MARK: A target that comes back

    /// Returns the keys that were refreshed after the target's marks.
    ///
    /// - Parameter marks: the mark of each flow that the target has.
    func lost(after marks: [StreamMark]) throws(SystemError) -> Lost {
        var lost = Lost()
        var flows: Set<FlowID> = []
        try visitEntries { entry in
            let isLost = Self.isLost(entry, after: marks)
            if entry.isOfDropped {
                if isLost { lost.mayBeMore = true }
                return
            }
            if isLost { lost.requests.append(entry.request) }
            // If the first remembered entry of a flow is lost, the dropped ones before it may be lost too.
            if flows.insert(entry.request.flow).inserted, isLost, hasDropped { lost.mayBeMore = true }
        }
        return lost
    }

    /// Removes the entries that the target lacks: their keys wait to be refreshed again or have been reported.
    func forgetLost(after marks: [StreamMark]) throws(SystemError) {
        var kept = ByteBuffer(capacity: 0)
        try visitEntries { if !Self.isLost($0, after: marks) { Self.append($0, to: &kept) } }
        let temporary = path + ".new"
        let next = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard next >= 0 else { throw SystemError("open", errno: errno, peer: temporary) }
        do throws(SystemError) {
            try writeHead(to: next)
            try Self.write(kept, to: next, at: Self.headBytes, temporary)
            guard rename(temporary, path) == 0 else { throw SystemError("rename", errno: errno, peer: path) }
        } catch {
            close(next)
            unlink(temporary)
            throw error
        }
        close(descriptor)
        (descriptor, end) = (next, Self.headBytes + kept.count)
        unlink(older)
    }

    private static func isLost(_ entry: Entry, after marks: [StreamMark]) -> Bool {
        let flow = entry.request.flow.index
        return flow < marks.count && entry.mark > marks[flow]
    }

    // MARK: Entries

    /// Calls `body` with all entries, the oldest first.
    private func visitEntries(_ body: (Entry) -> Void) throws(SystemError) {
        try readOlder(body)
        _ = try Self.read(descriptor, path, body)
    }

    private func readOlder(_ body: (Entry) -> Void) throws(SystemError) {
        let file = open(older, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return }
            throw SystemError("open", errno: errno, peer: older)
        }
        defer { close(file) }
        _ = try Self.read(file, older, body)
    }

    private static func append(_ entry: Entry, to bytes: inout ByteBuffer) {
        let (request, mark) = (entry.request, entry.mark)
        var head = ByteBuffer(capacity: entryHeadBytes)
        head.append(littleEndian: UInt32(request.key.key.count))
        head.append(littleEndian: request.key.database)
        head.append(littleEndian: UInt16(clamping: request.flow.index))
        head.append(request.origin.rawValue)
        head.append(0)
        head.append(littleEndian: mark.next.value)
        head.append(littleEndian: mark.outOfStreamCount)
        bytes.append(head.bytes)
        bytes.append(littleEndian: check(of: head.bytes, request.key.key.span.bytes))
        bytes.append(request.key.key.span.bytes)
    }

    private static func check(of head: RawSpan, _ key: RawSpan) -> UInt32 {
        UInt32(truncatingIfNeeded: XXH64.hash(key, seed: XXH64.hash(head, seed: 0)))
    }

    /// - Returns: the end of the last complete entry; `nil` if the file is of another kind.
    private static func read(
        _ descriptor: Int32, _ path: String, _ body: (Entry) -> Void
    ) throws(SystemError) -> (end: Int, hasDropped: Bool)? {
        var bytes = [UInt8](repeating: 0, count: max(0, Int(lseek(descriptor, 0, SEEK_END))))
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { memory in
                let rest = UnsafeMutableRawBufferPointer(rebasing: memory[count...])
                return retryingInterrupts { pread(descriptor, rest.baseAddress, rest.count, off_t(count)) }
            }
            guard got >= 0 else { throw SystemError("read", errno: errno, peer: path) }
            if got == 0 { break }
            count += got
        }
        guard count == bytes.count, bytes.starts(with: magic) else { return nil }
        var reader = ByteReader(bytes.span.bytes, offset: magic.count)
        guard let dropped = reader.readLittleEndian(UInt64.self) else { return nil }
        var end = headBytes
        while let entry = readEntry(&reader) {
            body(entry)
            end = reader.offset
        }
        return (end, dropped != 0)
    }

    private static func readEntry(_ reader: inout ByteReader) -> Entry? {
        let (bytes, start) = (reader.bytes, reader.offset)
        guard let count = reader.readLittleEndian(UInt32.self), let database = reader.readLittleEndian(UInt32.self),
            let flow = reader.readLittleEndian(UInt16.self),
            let origin = reader.readUInt8().flatMap(RefreshOrigin.init),
            reader.skip(1), let next = reader.readLittleEndian(UInt64.self),
            let outOfStreamCount = reader.readLittleEndian(UInt64.self)
        else { return nil }
        let head = bytes.extracting(start..<reader.offset)
        guard let check = reader.readLittleEndian(UInt32.self), let key = reader.readSpan(Int(count)),
            Self.check(of: head, key) == check
        else { return nil }
        let name = Array(copying: key)
        return Entry(
            request: RefreshRequest(
                RefreshKey(database: database, key: name), flow: FlowID(Int(flow)), origin: origin),
            mark: StreamMark(next: LSN(next), outOfStreamCount: outOfStreamCount))
    }

    private static func write(
        _ bytes: borrowing ByteBuffer, to descriptor: Int32, at offset: Int, _ path: String
    ) throws(SystemError) {
        let (count, written) = bytes.withUnsafeBytes { bytes in
            (bytes.count, retryingInterrupts { pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset)) })
        }
        guard written == count else {
            throw SystemError("write", errno: written < 0 ? errno : ENOSPC, peer: path)
        }
    }
}
