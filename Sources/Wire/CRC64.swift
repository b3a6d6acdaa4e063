/// The CRC-64 of DUMP payloads: Jones' polynomial AD93D23594C935A9, reflected, starting at 0, not inverted.
///
/// The check value of "123456789" is E9C6D914C4B8D9CA. Each step processes eight bytes, with a table for each of them.
package struct CRC64: Sendable {
    /// The checksum of all bytes so far.
    package private(set) var value: UInt64 = 0

    package init() {}

    package mutating func update(_ bytes: RawSpan) {
        let crc = value
        value = bytes.withUnsafeBytes { bytes in
            Self.tables.withUnsafeBufferPointer { Self.checksum(of: bytes, from: crc, tables: $0) }
        }
    }

    private static func checksum(
        of bytes: UnsafeRawBufferPointer, from start: UInt64, tables: UnsafeBufferPointer<UInt64>
    ) -> UInt64 {
        var crc = start
        var offset = 0
        while offset + 8 <= bytes.count {
            let x = crc ^ UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            let low = tables[1792 + Int(x & 0xFF)] ^ tables[1536 + Int(x >> 8 & 0xFF)]
            let lowMiddle = tables[1280 + Int(x >> 16 & 0xFF)] ^ tables[1024 + Int(x >> 24 & 0xFF)]
            let highMiddle = tables[768 + Int(x >> 32 & 0xFF)] ^ tables[512 + Int(x >> 40 & 0xFF)]
            let high = tables[256 + Int(x >> 48 & 0xFF)] ^ tables[Int(x >> 56)]
            crc = low ^ lowMiddle ^ highMiddle ^ high
            offset += 8
        }
        while offset < bytes.count {
            crc = crc >> 8 ^ tables[Int((crc ^ UInt64(bytes[offset])) & 0xFF)]
            offset += 1
        }
        return crc
    }

    /// Table k begins at 256 k. It holds what a byte does to the checksum if k zero bytes follow the byte.
    private static let tables: [UInt64] = {
        let reflected: UInt64 = 0x95AC_9329_AC4B_C9B5
        var tables: [UInt64] = []
        tables.reserveCapacity(2048)
        for byte in 0..<256 as Range<UInt64> {
            var crc = byte
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ reflected : crc >> 1 }
            tables.append(crc)
        }
        for index in 256..<2048 {
            let before = tables[index - 256]
            tables.append(before >> 8 ^ tables[Int(before & 0xFF)])
        }
        return tables
    }()
}
