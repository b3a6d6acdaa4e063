import Wire

/// A running hash of what was read of a key on both sides. The same hash twice means that nothing has changed in between.
struct KeyDigest {
    private(set) var value: UInt64 = 0

    mutating func add(_ bytes: [UInt8]) { value = XXH64.hash(bytes.span.bytes, seed: value) }

    mutating func add(_ text: String) { add(Array(text.utf8)) }

    mutating func add(_ number: Int64) {
        var hash = value &+ UInt64(bitPattern: number) &* 0x9E37_79B1_85EB_CA87
        hash = (hash ^ hash >> 32) &* 0xC2B2_AE3D_27D4_EB4F
        value = hash ^ hash >> 29
    }

    mutating func add(_ reply: RESPValue) {
        switch reply {
        case .simple(let text), .error(let text): add(text)
        case .integer(let number): add(number)
        case .bulk(let bytes?): add(bytes)
        case .bulk(nil), .array(nil): add(-1)
        case .array(let elements?):
            add(Int64(elements.count))
            for element in elements { add(element) }
        }
    }
}
