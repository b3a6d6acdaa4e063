import Base

/// A set of generated keys. The same seed and index give the same key and value on every machine.
package struct SyntheticDataSet: Sendable {
    package enum Shape: String, Sendable, CaseIterable {
        /// `key:<n>` with a string of `valueBytes`.
        case string
        /// String, list, set, hash, zset and stream in turn; a collection has `elements` elements, each a tenth of
        /// `valueBytes`.
        case mixed
    }

    package enum Content: String, Sendable, CaseIterable {
        /// Letters and digits that do not compress with LZ4.
        case random
        /// Words that repeat.
        case repetitive
    }

    package var keys = 1000
    package var valueBytes = 100
    package var shape = Shape.string
    package var content = Content.random
    package var elements = 10
    package var databases = 1
    /// The share of keys with an expiry, all in 2034.
    package var expiringShare = 0.0
    /// The share of hashes and sets whose members have expiries of their own (types 31 and 32).
    package var expiringMemberShare = 0.0
    /// Values that are generated while they are sent, in addition to `keys`; they are never whole in memory.
    package var largeValues: [LargeValue] = []
    package var seed: UInt64 = 1

    package init(keys: Int = 1000, valueBytes: Int = 100, shape: Shape = .string, seed: UInt64 = 1) {
        self.keys = keys
        self.valueBytes = valueBytes
        self.shape = shape
        self.seed = seed
    }

    /// 2034-01-01, in Unix milliseconds.
    package static let farMilliseconds: Int64 = 2_019_686_400_000

    package struct Entry: Sendable, Equatable {
        package let database: Int
        package let key: [UInt8]
        /// Unix milliseconds; `nil`: never.
        package let expiresAt: Int64?
        package let value: Value
    }

    /// Returns the key at an index. This is cheap, so that a key's shard is known before its value is generated.
    package func key(at index: Int) -> [UInt8] {
        switch shape {
        case .string: Array("key:\(index)".utf8)
        case .mixed: Array("\(Self.kinds[index % Self.kinds.count]):\(index)".utf8)
        }
    }

    private static let kinds = ["string", "list", "set", "hash", "zset", "stream"]

    package func entry(at index: Int) -> Entry {
        var generator = SplitMix64(seed: seed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(index))
        let expires = expiringShare > 0 && Double.random(in: 0..<1, using: &generator) < expiringShare
        let expiresAt = expires ? Self.farMilliseconds + Int64.random(in: 0..<1_000_000_000, using: &generator) : nil
        return Entry(
            database: index % max(1, databases), key: key(at: index), expiresAt: expiresAt,
            value: value(at: index, &generator))
    }

    private func value(at index: Int, _ generator: inout SplitMix64) -> Value {
        guard shape == .mixed else { return .string(text(valueBytes, &generator)) }
        let size = max(1, valueBytes / 10)
        let hasExpiringMembers =
            expiringMemberShare > 0 && Double.random(in: 0..<1, using: &generator) < expiringMemberShare
        switch index % Self.kinds.count {
        case 0: return .string(text(valueBytes, &generator))
        case 1: return .list((0..<elements).map { _ in text(size, &generator) })
        case 2:
            // Every other set is an intset.
            let isNumeric = index / Self.kinds.count % 2 == 0
            let members = (0..<elements).map { element in
                isNumeric ? Array(String(element * 7 - 3).utf8) : Array("\(element)-".utf8) + text(size, &generator)
            }
            if hasExpiringMembers {
                return .expiringSet(Dictionary(members.map { ($0, memberExpiry(&generator)) }) { first, _ in first })
            }
            return .set(Set(members))
        case 3:
            var fields: [[UInt8]: [UInt8]] = [:]
            for element in 0..<elements { fields[Array("field:\(element)".utf8)] = text(size, &generator) }
            if hasExpiringMembers {
                return .expiringHash(
                    fields.sorted { $0.key.lexicographicallyPrecedes($1.key) }.reduce(into: [:]) { result, field in
                        result[field.key] = Value.ExpiringField(
                            value: field.value, expiresAtSeconds: memberExpiry(&generator))
                    })
            }
            return .hash(fields)
        case 4:
            var members: [[UInt8]: Double] = [:]
            for element in 0..<elements {
                members[Array("\(element)-".utf8) + text(size, &generator)] = Double.random(
                    in: -1e6..<1e6, using: &generator)
            }
            return .zset(members)
        default:
            var stream = StreamValue()
            for element in 0..<elements {
                let fields = [Array("f".utf8), text(size, &generator), Array("n".utf8), Array(String(element).utf8)]
                stream.append(StreamValue.ID(1_526_919_030_474, UInt64(element + 1)), fields)
            }
            return .stream(stream)
        }
    }

    private func memberExpiry(_ generator: inout SplitMix64) -> Int64? {
        Bool.random(using: &generator)
            ? Self.farMilliseconds / 1000 + Int64.random(in: 0..<1000, using: &generator) : nil
    }

    private func text(_ count: Int, _ generator: inout SplitMix64) -> [UInt8] {
        switch content {
        case .random: return RandomText.bytes(count, &generator)
        case .repetitive: return RandomText.words(count, &generator)
        }
    }
}

/// Printable bytes from a generator.
enum RandomText {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func bytes(_ count: Int, _ generator: inout SplitMix64) -> [UInt8] {
        alphabet.withUnsafeBufferPointer { alphabet in
            [UInt8](unsafeUninitializedCapacity: count) { room, initialized in
                var index = 0
                while index < count {
                    var bits = generator.next()
                    for _ in 0..<min(10, count - index) {
                        room[index] = alphabet[Int(bits & 63)]
                        bits >>= 6
                        index += 1
                    }
                }
                initialized = count
            }
        }
    }

    static func words(_ count: Int, _ generator: inout SplitMix64) -> [UInt8] {
        let words = ["alpha ", "beta ", "gamma ", "delta ", "epsilon ", "zeta ", "eta ", "theta "]
        var bytes: [UInt8] = []
        while bytes.count < count { bytes += words[Int(generator.next() % UInt64(words.count))].utf8 }
        return Array(bytes.prefix(count))
    }
}
