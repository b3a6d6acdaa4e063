/// Which shard a key belongs to. Dragonfly hashes with XXH64; what counts for a replica is that a key never moves.
enum KeyHash {
    static func shard(of key: [UInt8], count: Int) -> Int {
        if count == 1 { return 0 }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in key { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        hash = (hash ^ (hash >> 32)) &* 0x9E37_79B9_7F4A_7C15
        return Int((hash >> 32) % UInt64(count))
    }
}
