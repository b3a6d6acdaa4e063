import Base

extension SplitMix64 {
    /// `count` random bytes.
    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    /// `bytes` with one to four changes: a bit, a byte, a cut, a copy of a piece.
    mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &self) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &self)
            switch Int.random(in: 0..<6, using: &self) {
            case 0, 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 2: bytes[index] = UInt8.random(in: 0...255, using: &self)
            case 3: bytes[index] = [0x00, 0x7F, 0x80, 0x81, 0xC3, 0xFE, 0xFF].randomElement(using: &self) ?? 0
            case 4: bytes.removeSubrange(index..<min(bytes.count, index + Int.random(in: 1...4, using: &self)))
            default:
                let piece = bytes[index..<min(bytes.count, index + Int.random(in: 1...8, using: &self))]
                bytes.insert(contentsOf: Array(piece), at: Int.random(in: 0...bytes.count, using: &self))
            }
        }
        return bytes
    }
}
