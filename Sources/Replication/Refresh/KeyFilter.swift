/// A Bloom filter of 16 MiB over fingerprints of keys. It never denies a key that it contains, and rarely affirms another
/// one.
///
/// | keys in the filter | share of other keys that it affirms |
/// |---|---|
/// | 1,000,000 | 1 in 1,000,000 |
/// | 5,000,000 | 0.04 % |
/// | 10,000,000 | 0.4 % |
/// | 20,000,000 | 4 % |
/// | 40,000,000 | 24 % |
struct KeyFilter {
    private static let bits: UInt64 = 1 << 27
    private static let probes: UInt64 = 4

    private var words = [UInt64](repeating: 0, count: Int(bits / 64))

    mutating func insert(_ fingerprint: UInt64) {
        for probe in 0..<Self.probes {
            let bit = Self.bit(probe, of: fingerprint)
            words[Int(bit / 64)] |= 1 << (bit % 64)
        }
    }

    func mayContain(_ fingerprint: UInt64) -> Bool {
        for probe in 0..<Self.probes {
            let bit = Self.bit(probe, of: fingerprint)
            if words[Int(bit / 64)] & 1 << (bit % 64) == 0 { return false }
        }
        return true
    }

    private static func bit(_ probe: UInt64, of fingerprint: UInt64) -> UInt64 {
        let step = fingerprint >> 32 | 1
        return (fingerprint &+ probe &* step) % bits
    }
}
