import Wire

/// Determines the shard of a key as Dragonfly does without hash tags (Protocol 2.3).
enum KeyHash {
    static func shard(of key: [UInt8], count: Int) -> Int {
        count == 1 ? 0 : Int(XXH64.hash(key.span.bytes, seed: 120_577_240_643) % UInt64(count))
    }
}
