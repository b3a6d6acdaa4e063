/// Loads at a given offset, bounds checked by `RawSpan`.
extension RawSpan {
    /// The byte at `offset`.
    @inline(__always)
    func byte(at offset: Int) -> UInt8 { unsafeLoad(fromByteOffset: offset, as: UInt8.self) }

    /// The integer at `offset`, least significant byte first.
    @inline(__always)
    func littleEndian<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type, at offset: Int) -> T {
        T(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// The signed 24-bit integer at `offset`, least significant byte first.
    @inline(__always)
    func littleEndianInt24(at offset: Int) -> Int64 {
        let low = UInt32(littleEndian(UInt16.self, at: offset))
        let high = UInt32(byte(at: offset + 2))
        return Int64(Int32(bitPattern: (high << 16 | low) << 8) >> 8)
    }
}
