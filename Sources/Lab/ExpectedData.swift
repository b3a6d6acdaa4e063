import Foundation

/// The data set that a recording's master held at the end, from its `expected.json`.
///
/// ```
/// {db: {key: {"type", "expire_at_ms", and "value" or "sha256" + "json_bytes"}}}
/// ```
/// Byte strings are Latin-1 text. A value whose JSON is 4,000 bytes or more is given as the digest of that JSON.
package struct ExpectedData: Sendable {
    private enum Value: Sendable {
        case whole(DataNode)
        case digest(sha256: String, jsonBytes: Int)
    }

    private struct Entry: Sendable {
        var type: String
        var value: Value
        var expireAtMilliseconds: Int
    }

    private var databases: [Int: [[UInt8]: Entry]] = [:]

    /// The number of keys in all databases.
    package var count: Int { databases.values.reduce(0) { $0 + $1.count } }

    /// The deadlines of keys that have one.
    package var deadlines: Set<Int> {
        Set(databases.values.flatMap { $0.values.map(\.expireAtMilliseconds) }.filter { $0 >= 0 })
    }

    /// - Parameter json: the contents of `expected.json`.
    package init(json: [UInt8]) throws {
        let object = try JSONSerialization.jsonObject(with: Data(json))
        guard let root = object as? [String: [String: [String: Any]]] else {
            throw LabError("expected.json: its shape")
        }
        for (number, keys) in root {
            guard let database = Int(number) else { throw LabError("expected.json: database \(number)") }
            for (key, fields) in keys {
                databases[database, default: [:]][try Self.bytes(key)] = try Self.entry(fields)
            }
        }
    }

    private static func entry(_ fields: [String: Any]) throws -> Entry {
        guard let type = fields["type"] as? String, let deadline = fields["expire_at_ms"] as? Int else {
            throw LabError("expected.json: an entry without type or expire_at_ms")
        }
        let value: Value
        if let digest = fields["sha256"] as? String, let count = fields["json_bytes"] as? Int {
            value = .digest(sha256: digest, jsonBytes: count)
        } else {
            value = .whole(try node(fields["value"] ?? NSNull()))
        }
        return Entry(type: type, value: value, expireAtMilliseconds: deadline)
    }

    private static func node(_ value: Any) throws -> DataNode {
        switch value {
        case let text as String: .bytes(try bytes(text))
        case let number as Int: .integer(number)
        case let elements as [Any]: .array(try elements.map(node))
        case let fields as [String: Any]:
            .object(unordered: try fields.map { DataNode.Field(name: try bytes($0), value: try node($1)) })
        case is NSNull: .null
        default: throw LabError("expected.json: a value of a kind that recordings do not hold")
        }
    }

    private static func bytes(_ latin1: String) throws -> [UInt8] {
        try latin1.unicodeScalars.map { scalar in
            guard let byte = UInt8(exactly: scalar.value) else { throw LabError("expected.json: text beyond Latin-1") }
            return byte
        }
    }

    /// Replaces every deadline with the result of `move`.
    package mutating func moveDeadlines(_ move: (Int) -> Int) {
        for (database, keys) in databases {
            databases[database] = keys.mapValues { entry in
                var entry = entry
                if entry.expireAtMilliseconds >= 0 { entry.expireAtMilliseconds = move(entry.expireAtMilliseconds) }
                return entry
            }
        }
    }

    /// Returns the differences between `actual` and the recorded data set.
    package func differences(in actual: ServerData) throws -> [Difference] {
        // Where the recording has only a digest, the actual value is replaced with its own digest. All these values are
        // hashed together.
        var digested: [(database: Int, key: [UInt8], json: [UInt8])] = []
        for (database, keys) in databases {
            for (key, entry) in keys {
                guard case .digest = entry.value, let found = actual.databases[database]?[key] else { continue }
                digested.append((database, key, found.value.canonicalJSON))
            }
        }
        let digests = try sha256(digested.map(\.json))
        var actualDigests: [Int: [[UInt8]: DataNode]] = [:]
        for (item, digest) in zip(digested, digests) {
            actualDigests[item.database, default: [:]][item.key] = Self.standIn(digest, item.json.count)
        }

        var comparable = actual
        for (database, keys) in actualDigests {
            for (key, value) in keys { comparable.databases[database]?[key]?.value = value }
        }
        return expected.differences(in: comparable)
    }

    private static func standIn(_ digest: String, _ count: Int) -> DataNode {
        .text("sha256 \(digest), \(count) bytes")
    }

    /// The expected keys as a data set, with digests in place of values where the recording has only digests.
    private var expected: ServerData {
        ServerData(
            databases: databases.mapValues { keys in
                keys.mapValues { entry in
                    let value: DataNode =
                        switch entry.value {
                        case .whole(let node): node
                        case .digest(let digest, let count): Self.standIn(digest, count)
                        }
                    return ServerData.Entry(
                        type: entry.type, value: value, expireAtMilliseconds: entry.expireAtMilliseconds)
                }
            })
    }
}
