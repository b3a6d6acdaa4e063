import Wire

/// One of the 16384 slots of a cluster.
///
/// The slot of a key is the CRC-16 (XMODEM) of its hash tag, or of the whole key, modulo 16384. Source: Redis cluster
/// specification, "Key distribution model".
package struct KeySlot: Hashable, Comparable, Sendable, CustomStringConvertible {
    package static let count = 16384

    package let number: UInt16

    package init(_ number: UInt16) {
        precondition(number < Self.count, "a cluster has 16384 slots")
        self.number = number
    }

    package init(of key: RawSpan) {
        number = key.withUnsafeBytes { Self.checksum(Self.hashedPart(of: $0)) & 0x3FFF }
    }

    package init(of key: [UInt8]) { self.init(of: key.span.bytes) }

    package init(of key: String) { self.init(of: key.bytes) }

    package static var all: some Sequence<KeySlot> { (0..<UInt16(count)).lazy.map { KeySlot($0) } }

    package static func < (a: KeySlot, b: KeySlot) -> Bool { a.number < b.number }

    package var description: String { "\(number)" }

    /// The part between the first `{` and the next `}` if it is not empty, otherwise the whole key.
    private static func hashedPart(of key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard let open = key.firstIndex(of: UInt8(ascii: "{")) else { return key }
        let rest = UnsafeRawBufferPointer(rebasing: key[(open + 1)...])
        guard let close = rest.firstIndex(of: UInt8(ascii: "}")), close > 0 else { return key }
        return UnsafeRawBufferPointer(rebasing: rest[..<close])
    }

    private static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt16 {
        table.withUnsafeBufferPointer { table in
            var crc: UInt16 = 0
            for byte in bytes { crc = crc << 8 ^ table[Int(crc >> 8 ^ UInt16(byte))] }
            return crc
        }
    }

    private static let table: [UInt16] = (0..<256).map { index in
        (0..<8).reduce(UInt16(index) << 8) { crc, _ in crc & 0x8000 == 0 ? crc << 1 : crc << 1 ^ 0x1021 }
    }
}

/// The number of a key's slot.
package func hashSlot(of key: [UInt8]) -> UInt16 { KeySlot(of: key).number }
