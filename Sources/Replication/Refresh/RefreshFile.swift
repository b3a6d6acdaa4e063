import Dragonfly
import Glibc
import Link
import Wire

/// The keys that wait to be refreshed, in a file of the task, in the order of the requests.
///
/// ```
/// head:     "df2rfsh1" | u64 LE offset of the first request that is not done
/// request:  u32 LE bytes of the key | u32 LE database | u16 LE flow | u8 origin | u8 0 | u32 LE check | key
/// ```
/// The check is the low half of XXH64 over the request without the check. A request is written when it arrives, so a killed
/// process loses none; a machine that fails may lose the last ones. A request that is read twice only costs another reading
/// at the source.
///
/// Not Sendable: it belongs to its queue.
final class RefreshFile {
    /// The position of a request in the file.
    struct Place: Equatable {
        var offset: Int
        var end: Int
    }

    private static let magic = "df2rfsh1".bytes
    private static let headBytes = 16
    private static let requestHeadBytes = 16
    /// The length of the longest possible key.
    private static let longestKey = 512 << 20
    private static let readBytes = 256 << 10
    /// The size of the done part at the front that makes a new file worthwhile.
    private static let worthMoving = 16 << 20

    let path: String
    private var descriptor: Int32
    /// The offset of the next request.
    private(set) var end: Int
    /// The offset before which everything is done.
    private(set) var head: Int

    /// Opens or creates the file. A file of another kind, or a damaged one, is begun anew.
    ///
    /// - Parameter body: called with the key and the database of each request in the file, in order.
    /// - Throws: `SystemError`.
    init(path: String, _ body: (RawSpan, UInt32) -> Void = { _, _ in }) throws(SystemError) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: path) }
        (head, end) = (Self.headBytes, Self.headBytes)
        let size = Int(lseek(descriptor, 0, SEEK_END))
        guard size >= Self.headBytes, let start = readHead(), start <= size else {
            try reset()
            return
        }
        head = start
        end = try visitRequests(size: size, body)
        // Remove the rest of a request that a crash has cut short.
        if end < size { _ = ftruncate(descriptor, off_t(end)) }
    }

    deinit { close(descriptor) }

    private func readHead() -> Int? {
        var bytes = [UInt8](repeating: 0, count: Self.headBytes)
        guard retryingInterrupts({ pread(descriptor, &bytes, bytes.count, 0) }) == bytes.count,
            bytes.starts(with: Self.magic)
        else { return nil }
        var reader = ByteReader(bytes.span.bytes, offset: Self.magic.count)
        guard let head = reader.readLittleEndian(UInt64.self), head >= UInt64(Self.headBytes),
            head < UInt64(Int32.max) << 16
        else { return nil }
        return Int(head)
    }

    // MARK: Writing

    /// - Throws: `SystemError`; the file is unchanged then.
    func append(_ request: RefreshRequest) throws(SystemError) -> Place {
        var bytes = ByteBuffer(capacity: Self.requestHeadBytes + request.key.key.count)
        bytes.append(littleEndian: UInt32(request.key.key.count))
        bytes.append(littleEndian: request.key.database)
        bytes.append(littleEndian: UInt16(clamping: request.flow.index))
        bytes.append(request.origin.rawValue)
        bytes.append(0)
        bytes.append(littleEndian: Self.check(of: bytes.bytes, request.key.key))
        bytes.append(request.key.key.span.bytes)
        let place = Place(offset: end, end: end + bytes.count)
        let written = bytes.withUnsafeBytes { bytes in
            retryingInterrupts { pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(place.offset)) }
        }
        guard written == bytes.count else {
            let code = written < 0 ? errno : ENOSPC
            _ = ftruncate(descriptor, off_t(end))
            throw SystemError("write", errno: code, peer: path)
        }
        end = place.end
        return place
    }

    /// Notes that everything before `offset` is done.
    func setHead(_ offset: Int) throws(SystemError) {
        guard offset != head else { return }
        head = offset
        try writeHead()
    }

    private func writeHead() throws(SystemError) {
        var bytes = ByteBuffer(capacity: Self.headBytes)
        bytes.append(Self.magic.span.bytes)
        bytes.append(littleEndian: UInt64(head))
        let written = bytes.withUnsafeBytes { bytes in
            retryingInterrupts { pwrite(descriptor, bytes.baseAddress, bytes.count, 0) }
        }
        guard written == bytes.count else {
            throw SystemError("write", errno: written < 0 ? errno : ENOSPC, peer: path)
        }
    }

    /// Empties the file, because nothing waits any more.
    func reset() throws(SystemError) {
        guard ftruncate(descriptor, 0) == 0 else { throw SystemError("ftruncate", errno: errno, peer: path) }
        (head, end) = (Self.headBytes, Self.headBytes)
        try writeHead()
    }

    /// Removes the done part at the front of the file, if it is large enough.
    ///
    /// - Returns: the number of bytes by which places have moved to the front; 0 if nothing was removed.
    func compact() throws(SystemError) -> Int {
        guard head - Self.headBytes > max(Self.worthMoving, (end - head)) else { return 0 }
        let temporary = path + ".new"
        let other = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard other >= 0 else { throw SystemError("open", errno: errno, peer: temporary) }
        var block = [UInt8](repeating: 0, count: Self.readBytes)
        var (from, to) = (head, Self.headBytes)
        while from < end {
            let count = retryingInterrupts { pread(descriptor, &block, min(block.count, end - from), off_t(from)) }
            guard count > 0, retryingInterrupts({ pwrite(other, block, count, off_t(to)) }) == count else {
                let code = errno
                close(other)
                unlink(temporary)
                throw SystemError("write", errno: code, peer: temporary)
            }
            from += count
            to += count
        }
        close(descriptor)
        descriptor = other
        let moved = head - Self.headBytes
        (head, end) = (Self.headBytes, to)
        try writeHead()
        guard rename(temporary, path) == 0 else { throw SystemError("rename", errno: errno, peer: path) }
        return moved
    }

    // MARK: Reading

    private struct RequestHead {
        let keyBytes: Int
        let database: UInt32
        let flow: FlowID
        let origin: RefreshOrigin
        private let check: UInt32
        /// The hash of everything before the check.
        private let hash: UInt64

        /// - Returns: `nil` if the bytes are not the head of a request.
        init?(_ bytes: RawSpan) {
            var reader = ByteReader(bytes)
            guard let count = reader.readLittleEndian(UInt32.self), count <= longestKey,
                let database = reader.readLittleEndian(UInt32.self), let flow = reader.readLittleEndian(UInt16.self),
                let origin = reader.readUInt8().flatMap(RefreshOrigin.init), reader.skip(1)
            else { return nil }
            hash = XXH64.hash(bytes.extracting(first: reader.offset), seed: 0)
            guard let check = reader.readLittleEndian(UInt32.self) else { return nil }
            (keyBytes, self.database, self.flow) = (Int(count), database, FlowID(Int(flow)))
            (self.origin, self.check) = (origin, check)
        }

        func isOf(_ key: RawSpan) -> Bool { UInt32(truncatingIfNeeded: XXH64.hash(key, seed: hash)) == check }
    }

    /// - Returns: `nil` at the end, or if there is no valid request at `offset`.
    func read(at offset: Int) throws(SystemError) -> (request: RefreshRequest, place: Place)? {
        var bytes = [UInt8](repeating: 0, count: Self.requestHeadBytes)
        guard retryingInterrupts({ pread(descriptor, &bytes, bytes.count, off_t(offset)) }) == bytes.count,
            let head = RequestHead(bytes.span.bytes)
        else { return nil }
        let place = Place(offset: offset, end: offset + bytes.count + head.keyBytes)
        guard place.end <= end else { return nil }
        var key = [UInt8](repeating: 0, count: head.keyBytes)
        let got = retryingInterrupts { pread(descriptor, &key, key.count, off_t(offset + bytes.count)) }
        guard got == key.count, head.isOf(key.span.bytes) else { return nil }
        let request = RefreshRequest(
            RefreshKey(database: head.database, key: key), flow: head.flow, origin: head.origin)
        return (request, place)
    }

    /// Calls `body` with each request from the head on. There may be many millions, so they are read in blocks.
    ///
    /// - Returns: the end of the last complete request.
    private func visitRequests(size: Int, _ body: (RawSpan, UInt32) -> Void) throws(SystemError) -> Int {
        var block = [UInt8](repeating: 0, count: Self.readBytes)
        /// The offset of the block's first byte in the file.
        var offset = head
        var filled = 0
        while true {
            let got = block.withUnsafeMutableBytes { memory in
                let rest = UnsafeMutableRawBufferPointer(rebasing: memory[filled...])
                return retryingInterrupts {
                    pread(descriptor, rest.baseAddress, rest.count, off_t(offset + filled))
                }
            }
            guard got >= 0 else { throw SystemError("read", errno: errno, peer: path) }
            filled += got
            let (whole, next) = Self.visitRequests(in: block.span.bytes.extracting(first: filled), body)
            offset += whole
            guard got > 0, let next, next <= size - offset else { return offset }
            block.replaceSubrange(0..<(filled - whole), with: Array(block[whole..<filled]))
            filled -= whole
            if next > block.count { block += [UInt8](repeating: 0, count: next - block.count) }
        }
    }

    /// - Returns: the number of bytes of complete requests, and the minimum number of bytes of the next one; `nil` if no
    ///   valid request follows.
    private static func visitRequests(
        in bytes: RawSpan, _ body: (RawSpan, UInt32) -> Void
    ) -> (whole: Int, next: Int?) {
        var offset = 0
        while bytes.byteCount - offset >= requestHeadBytes {
            let start = offset + requestHeadBytes
            guard let head = RequestHead(bytes.extracting(offset..<start)) else { return (offset, nil) }
            guard bytes.byteCount - start >= head.keyBytes else { return (offset, requestHeadBytes + head.keyBytes) }
            let key = bytes.extracting(start..<(start + head.keyBytes))
            guard head.isOf(key) else { return (offset, nil) }
            body(key, head.database)
            offset = start + head.keyBytes
        }
        return (offset, requestHeadBytes)
    }

    private static func check(of head: RawSpan, _ key: [UInt8]) -> UInt32 {
        UInt32(truncatingIfNeeded: XXH64.hash(key.span.bytes, seed: XXH64.hash(head, seed: 0)))
    }
}
