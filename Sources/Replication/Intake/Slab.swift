/// A block of memory that a flow's bytes are read into and decoded from.
///
/// The producer writes after `filled`, and the consumer reads before it. `filled` and `taken` change only under the
/// intake's lock, so both can use their part of the memory at the same time.
final class Slab: @unchecked Sendable {  // see above: the two sides never touch the same bytes
    static let capacity = 256 << 10

    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: Slab.capacity, alignment: 16)
    var filled = 0
    var taken = 0
    /// The Unix time in milliseconds at which the oldest bytes arrived that nobody has taken.
    var oldestArrival: Int64 = 0
    /// The Unix time in milliseconds at which the last bytes arrived.
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
    /// The Unix time in milliseconds at which the last of the bytes arrived, or a little later.
    package let arrivedAt: Int64
    /// The Unix time in milliseconds at which the oldest of the bytes arrived.
    package let oldestArrival: Int64

    package var count: Int { range.count }

    package func withBytes<R, E: Error>(from offset: Int, _ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        let memory = UnsafeRawBufferPointer(rebasing: slab.memory[(range.lowerBound + offset)..<range.upperBound])
        return try body(RawSpan(_unsafeBytes: memory))
    }
}
