/// A block of memory that a flow's bytes are read into and decoded from.
///
/// The producer writes after `filled` and the consumer reads before it; `filled` and `taken` are changed under the
/// intake's lock only, so both may use their part of the memory at the same time.
final class Slab: @unchecked Sendable {  // see above: the two sides never touch the same bytes
    static let capacity = 256 << 10

    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: Slab.capacity, alignment: 16)
    var filled = 0
    var taken = 0
    /// Unix time in milliseconds at which the oldest bytes that nobody has taken arrived.
    var oldestArrival: Int64 = 0
    /// Unix time in milliseconds at which the last bytes arrived.
    var arrivedAt: Int64 = 0

    deinit { memory.deallocate() }

    var room: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: memory[filled...]) }
    var isFull: Bool { filled == Slab.capacity }
    var untaken: Range<Int> { taken..<filled }
}

/// Bytes of a slab that the consumer may read.
package struct IntakeChunk: Sendable {
    let slab: Slab
    let range: Range<Int>
    /// Unix time in milliseconds at which the bytes arrived, or a little later.
    package let arrivedAt: Int64
    /// Unix time in milliseconds at which the oldest of them arrived.
    package let oldestArrival: Int64

    package var count: Int { range.count }

    package func withBytes<R, E: Error>(from offset: Int, _ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        let memory = UnsafeRawBufferPointer(rebasing: slab.memory[(range.lowerBound + offset)..<range.upperBound])
        return try body(RawSpan(_unsafeBytes: memory))
    }
}
