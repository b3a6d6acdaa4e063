/// Writes the bytes that the simulator serves.
///
/// The simulator has its own encoders on purpose: the daemon's decoders are not tested with bytes that their own module
/// wrote. Source: Protocol 3.3, 3.7 and 4.1.
struct PieceWriter {
    var bytes: [UInt8] = []

    var count: Int { bytes.count }
    var isEmpty: Bool { bytes.isEmpty }

    /// Returns the bytes and empties the writer.
    mutating func take() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    mutating func byte(_ value: UInt8) { bytes.append(value) }

    mutating func raw(_ value: some Sequence<UInt8>) { bytes.append(contentsOf: value) }

    mutating func littleEndian<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func bigEndian<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// A packed integer, which is also an RDB length.
    mutating func packed(_ value: UInt64) {
        switch value {
        case ..<0x40: byte(UInt8(value))
        case ..<0x4000:
            byte(0x40 | UInt8(value >> 8))
            byte(UInt8(truncatingIfNeeded: value))
        case ...UInt64(UInt32.max):
            byte(0x80)
            bigEndian(UInt32(value))
        default:
            byte(0x81)
            bigEndian(value)
        }
    }

    mutating func length(_ value: Int) { packed(UInt64(value)) }

    /// An RDB string of raw bytes.
    mutating func rawString(_ value: [UInt8]) {
        length(value.count)
        bytes += value
    }

    /// An RDB string as Dragonfly writes it: as an integer if it is the canonical text of an `Int32`.
    mutating func string(_ value: [UInt8]) {
        guard value.count <= 11, let number = Self.canonicalInteger(value), let short = Int32(exactly: number) else {
            return rawString(value)
        }
        integerString(short)
    }

    mutating func string(_ text: String) { string(Array(text.utf8)) }

    private mutating func integerString(_ value: Int32) {
        if let small = Int8(exactly: value) {
            byte(0xC0)
            littleEndian(small)
        } else if let medium = Int16(exactly: value) {
            byte(0xC1)
            littleEndian(medium)
        } else {
            byte(0xC2)
            littleEndian(value)
        }
    }

    /// A string in `compression_mode` 1: compressed with LZF if it is longer than 20 bytes and gets shorter.
    mutating func lzfString(_ value: [UInt8]) {
        guard value.count > 20, let compressed = LZFCompressor.compress(value) else { return string(value) }
        byte(0xC3)
        length(compressed.count)
        length(value.count)
        bytes += compressed
    }

    /// Returns the number whose canonical decimal text is `text`: without a plus sign, leading zeros or `-0`.
    static func canonicalInteger(_ text: [UInt8]) -> Int64? {
        guard let first = text.first, text.count <= 20 else { return nil }
        let isNegative = first == UInt8(ascii: "-")
        let digits = isNegative ? text.dropFirst() : text[...]
        guard let lead = digits.first, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        if lead == 0x30, text.count > 1 { return nil }
        return Int64(String(decoding: text, as: UTF8.self))
    }
}

/// Writes a listpack (Protocol 3.7.1).
struct ListpackWriter {
    private var entries = PieceWriter()
    private(set) var count = 0

    /// Bytes of the listpack so far.
    var byteCount: Int { entries.count + 7 }

    mutating func append(_ value: [UInt8]) {
        if value.count <= 20, let number = PieceWriter.canonicalInteger(value) { return append(number) }
        count += 1
        let start = entries.count
        switch value.count {
        case ..<64: entries.byte(0x80 | UInt8(value.count))
        case ..<4096:
            entries.byte(0xE0 | UInt8(value.count >> 8))
            entries.byte(UInt8(truncatingIfNeeded: value.count))
        default:
            entries.byte(0xF0)
            entries.littleEndian(UInt32(value.count))
        }
        entries.raw(value)
        backLength(of: entries.count - start)
    }

    mutating func append(_ value: Int64) {
        count += 1
        let start = entries.count
        switch value {
        case 0...127: entries.byte(UInt8(value))
        case -4096...4095:
            let bits = UInt16(truncatingIfNeeded: value) & 0x1FFF
            entries.byte(0xC0 | UInt8(bits >> 8))
            entries.byte(UInt8(truncatingIfNeeded: bits))
        case Int64(Int16.min)...Int64(Int16.max):
            entries.byte(0xF1)
            entries.littleEndian(Int16(value))
        case -8_388_608...8_388_607:
            entries.byte(0xF2)
            let bits = UInt32(truncatingIfNeeded: value)
            entries.raw([
                UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8),
                UInt8(truncatingIfNeeded: bits >> 16),
            ])
        case Int64(Int32.min)...Int64(Int32.max):
            entries.byte(0xF3)
            entries.littleEndian(Int32(value))
        default:
            entries.byte(0xF4)
            entries.littleEndian(value)
        }
        backLength(of: entries.count - start)
    }

    /// Writes the size of an entry with seven bits per byte, to be read backwards.
    private mutating func backLength(of size: Int) {
        switch size {
        case ...127: entries.byte(UInt8(size))
        case ..<16383:
            entries.byte(UInt8(size >> 7))
            entries.byte(UInt8(size & 127) | 128)
        case ..<2_097_151:
            entries.byte(UInt8(size >> 14))
            entries.byte(UInt8((size >> 7) & 127) | 128)
            entries.byte(UInt8(size & 127) | 128)
        case ..<268_435_455:
            entries.byte(UInt8(size >> 21))
            for shift in [14, 7, 0] { entries.byte(UInt8((size >> shift) & 127) | 128) }
        default:
            entries.byte(UInt8(size >> 28))
            for shift in [21, 14, 7, 0] { entries.byte(UInt8((size >> shift) & 127) | 128) }
        }
    }

    /// The whole listpack.
    func finished() -> [UInt8] {
        var writer = PieceWriter()
        writer.littleEndian(UInt32(byteCount))
        writer.littleEndian(UInt16(min(count, Int(UInt16.max))))
        writer.raw(entries.bytes)
        writer.byte(0xFF)
        return writer.bytes
    }
}
