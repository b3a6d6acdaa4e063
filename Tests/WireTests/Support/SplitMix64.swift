/// SplitMix64: a small generator whose whole sequence follows from its seed.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

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
