/// Growable raw memory with one owner: bytes are appended at the end and removed from the front.
///
/// ```
///  base        base+start           base+end          base+capacity
///   │ removed   │ readable (count)   │ free            │
/// ```
/// `0 <= start <= end <= capacity`. The memory is moved to the front or grown only by `reserve`.
@usableFromInline
package struct ByteBuffer: ~Copyable, @unchecked Sendable {  // one owner, moved between queues with it
    private var base: UnsafeMutableRawPointer
    private var start = 0
    private var end = 0
    /// Bytes of memory held.
    package private(set) var capacity: Int

    package init(capacity: Int = 0) {
        self.capacity = max(capacity, 64)
        base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    /// Readable bytes.
    package var count: Int { end - start }
    package var isEmpty: Bool { start == end }

    /// The readable bytes.
    package var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = RawSpan(_unsafeStart: UnsafeRawPointer(base + start), byteCount: end - start)
            return _overrideLifetime(span, borrowing: self)
        }
    }

    /// The readable bytes, for a system call.
    package borrowing func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R
    {
        try body(UnsafeRawBufferPointer(start: base + start, count: end - start))
    }

    /// Makes room for `additional` bytes after the readable ones.
    package mutating func reserve(_ additional: Int) {
        precondition(additional >= 0, "room is never negative")
        if capacity - end >= additional { return }
        let count = self.count
        if capacity - count >= additional, start >= capacity / 2 {
            if count > 0 { base.copyMemory(from: base + start, byteCount: count) }
        } else {
            let grown = max(count + additional, capacity * 2)
            let memory = UnsafeMutableRawPointer.allocate(byteCount: grown, alignment: 16)
            if count > 0 { memory.copyMemory(from: base + start, byteCount: count) }
            base.deallocate()
            base = memory
            capacity = grown
        }
        start = 0
        end = count
    }

    /// Lets `body` write into at least `minimum` free bytes. `body` returns the number of bytes that it has written.
    @discardableResult
    package mutating func appendUninitialized<E: Error>(
        minimum: Int, _ body: (UnsafeMutableRawBufferPointer) throws(E) -> Int
    ) throws(E) -> Int {
        reserve(minimum)
        let written = try body(UnsafeMutableRawBufferPointer(start: base + end, count: capacity - end))
        precondition(written >= 0 && written <= capacity - end, "no more is written than there is room for")
        end += written
        return written
    }

    package mutating func append(_ byte: UInt8) {
        reserve(1)
        base.storeBytes(of: byte, toByteOffset: end, as: UInt8.self)
        end += 1
    }

    package mutating func append(_ bytes: RawSpan) {
        let count = bytes.byteCount
        reserve(count)
        bytes.withUnsafeBytes { source in
            if let address = source.baseAddress { (base + end).copyMemory(from: address, byteCount: count) }
        }
        end += count
    }

    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count)
        if let address = bytes.baseAddress { (base + end).copyMemory(from: address, byteCount: bytes.count) }
        end += bytes.count
    }

    package mutating func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    package mutating func append(utf8 text: some StringProtocol) {
        var text = String(text)
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    package mutating func append<T: FixedWidthInteger & BitwiseCopyable>(littleEndian value: T) {
        reserve(MemoryLayout<T>.size)
        base.storeBytes(of: value.littleEndian, toByteOffset: end, as: T.self)
        end += MemoryLayout<T>.size
    }

    /// Appends the decimal text of `value`.
    package mutating func append(decimal value: Int64) {
        reserve(20)
        var magnitude = value.magnitude
        var digits = 1
        var rest = magnitude
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        if value < 0 { append(UInt8(ascii: "-")) }
        var place = end + digits
        repeat {
            place -= 1
            base.storeBytes(of: UInt8(ascii: "0") + UInt8(magnitude % 10), toByteOffset: place, as: UInt8.self)
            magnitude /= 10
        } while magnitude > 0
        end += digits
    }

    /// Appends `mark`, the decimal text of `number`, which is not negative, and a line end: the head of a RESP value.
    package mutating func appendHead(_ mark: UInt8, _ number: Int) {
        reserve(Self.longestHead)
        end += Self.storeHead(mark, number, at: base + end)
    }

    /// Appends `bytes` as an argument of a request: `$<count>\r\n<bytes>\r\n`.
    @usableFromInline package mutating func appendBulk(_ bytes: RawSpan) {
        let count = bytes.byteCount
        reserve(count + Self.longestHead + 2)
        end += Self.storeHead(UInt8(ascii: "$"), count, at: base + end)
        bytes.withUnsafeBytes { source in
            if let address = source.baseAddress { (base + end).copyMemory(from: address, byteCount: count) }
        }
        end += count
        base.storeBytes(of: UInt16(0x0A0D).littleEndian, toByteOffset: end, as: UInt16.self)
        end += 2
    }

    /// A mark, 19 digits and a line end.
    private static let longestHead = 22

    /// - Returns: the number of bytes written.
    private static func storeHead(_ mark: UInt8, _ number: Int, at place: UnsafeMutableRawPointer) -> Int {
        place.storeBytes(of: mark, as: UInt8.self)
        var digits = 1
        var limit = 10
        while number >= limit, digits < 19 {
            digits += 1
            limit &*= 10
        }
        var rest = UInt(bitPattern: number)
        for digit in stride(from: digits, to: 0, by: -1) {
            place.storeBytes(of: UInt8(ascii: "0") + UInt8(rest % 10), toByteOffset: digit, as: UInt8.self)
            rest /= 10
        }
        place.storeBytes(of: UInt16(0x0A0D).littleEndian, toByteOffset: digits + 1, as: UInt16.self)
        return digits + 3
    }

    /// Writes `byte` over the readable one at `place`.
    package mutating func overwrite(_ byte: UInt8, at place: Int) {
        precondition(place >= 0 && place < count, "a byte that is there is written over")
        base.storeBytes(of: byte, toByteOffset: start + place, as: UInt8.self)
    }

    /// Writes `text` over the readable bytes from `place` on.
    package mutating func overwrite(_ text: StaticString, at place: Int) {
        precondition(place >= 0 && place + text.utf8CodeUnitCount <= count, "bytes that are there are written over")
        (base + start + place).copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
    }

    /// Moves the readable bytes from `place` on by `byteCount`. The caller must overwrite the gap.
    package mutating func makeRoom(_ byteCount: Int, at place: Int) {
        precondition(byteCount >= 0 && place >= 0 && place <= count, "room is made between readable bytes")
        reserve(byteCount)
        let from = base + start + place
        (from + byteCount).copyMemory(from: from, byteCount: count - place)
        end += byteCount
    }

    /// Removes `count` readable bytes from the front.
    package mutating func removeFirst(_ count: Int) {
        precondition(count >= 0 && count <= self.count, "no more is removed than there is")
        start += count
        if start == end { (start, end) = (0, 0) }
    }

    /// Removes all readable bytes after the first `count`.
    package mutating func truncate(to count: Int) {
        precondition(count >= 0 && count <= self.count, "a buffer is cut, not grown")
        end = start + count
        if start == end { (start, end) = (0, 0) }
    }

    package mutating func removeAll() { (start, end) = (0, 0) }
}
