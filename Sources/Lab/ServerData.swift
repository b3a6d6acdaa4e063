/// The data set of a server: databases by number, keys by their bytes.
package struct ServerData: Equatable, Sendable {
    /// A key's value, its type as TYPE names it, and its deadline in Unix milliseconds, -1 for none.
    package struct Entry: Equatable, Sendable {
        package var type: String
        package var value: DataNode
        package var expireAtMilliseconds: Int
    }

    package typealias Keys = [[UInt8]: Entry]

    /// The prefix of df2redis's own keys in the target.
    private static let ownPrefix = Array("df2redis:".utf8)

    /// Whether a key of the target is df2redis's own: its name begins with the prefix, in a cluster possibly inside or
    /// after a hash tag.
    package static func isOwn(_ key: [UInt8]) -> Bool {
        if key.first == UInt8(ascii: "{"), let end = key.firstIndex(of: UInt8(ascii: "}")) {
            return key[(end + 1)...].starts(with: ownPrefix) || key[1...].starts(with: ownPrefix)
        }
        return key.starts(with: ownPrefix)
    }

    package var databases: [Int: Keys]

    package init(databases: [Int: Keys] = [:]) { self.databases = databases.filter { !$0.value.isEmpty } }

    /// The number of keys in all databases.
    package var count: Int { databases.values.reduce(0) { $0 + $1.count } }

    /// Reads everything that `client`'s server holds; database 0 is selected afterwards.
    package init(reading client: RESPClient) throws { try self.init(reading: DataReader(client)) }

    /// Reads everything that all masters of `cluster` hold.
    package init(reading cluster: RedisCluster) throws { try self.init(reading: ClusterReader(cluster)) }

    package init(reading reader: any ComparedServer) throws {
        var databases: [Int: Keys] = [:]
        for database in try reader.databases() {
            try reader.select(database)
            var keys: Keys = [:]
            try reader.scan { batch in
                for (key, entry) in zip(batch, try reader.read(batch)) { keys[key] = entry }
            }
            databases[database] = keys
        }
        try reader.select(0)
        self.init(databases: databases)
    }

    /// The data set without df2redis's own keys, which are its checkpoints.
    package var withoutCheckpoints: ServerData {
        ServerData(
            databases: databases.mapValues { keys in keys.filter { !Self.isOwn($0.key) } })
    }

    /// Returns both data sets together; the caller must make sure that they have no key in common.
    package func united(with other: ServerData) -> ServerData {
        ServerData(
            databases: databases.merging(other.databases) { mine, theirs in
                mine.merging(theirs) { _, _ in preconditionFailure("two servers have the same key") }
            })
    }

    /// Returns only the keys whose names begin with `prefix`.
    package func keys(beginningWith prefix: String) -> ServerData {
        ServerData(
            databases: databases.mapValues { keys in keys.filter { $0.key.starts(with: Array(prefix.utf8)) } })
    }

    /// Returns the differences between this data set and `other` in the order of databases and keys; empty if they are
    /// equal.
    package func differences(in other: ServerData) -> [Difference] {
        var found: [Difference] = []
        for database in Set(databases.keys).union(other.databases.keys).sorted() {
            let (mine, theirs) = (databases[database] ?? [:], other.databases[database] ?? [:])
            for key in Set(mine.keys).union(theirs.keys) {
                if let kind = Difference.Kind(mine[key], theirs[key]) {
                    found.append(Difference(database: database, key: key, kind: kind))
                }
            }
        }
        return found.sorted()
    }
}

/// A key that differs between the two sides.
package struct Difference: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        case missing(type: String)
        case unexpected(type: String)
        case type(String, String)
        /// Where the values differ, in words.
        case value(String)
        case expiry(Int, Int)
    }

    package var database: Int
    package var key: [UInt8]
    package var kind: Kind
}

extension Difference.Kind {
    /// How `actual` differs from `expected`; `nil` when it does not.
    init?(_ expected: ServerData.Entry?, _ actual: ServerData.Entry?) {
        switch (expected, actual) {
        case (nil, nil): return nil
        case (let expected?, nil): self = .missing(type: expected.type)
        case (nil, let actual?): self = .unexpected(type: actual.type)
        case (let expected?, let actual?):
            if expected.type != actual.type {
                self = .type(expected.type, actual.type)
            } else if expected.value != actual.value {
                self = .value(expected.value.firstDifference(from: actual.value))
            } else if expected.expireAtMilliseconds != actual.expireAtMilliseconds {
                self = .expiry(expected.expireAtMilliseconds, actual.expireAtMilliseconds)
            } else {
                return nil
            }
        }
    }
}

extension Difference: Comparable, CustomStringConvertible {
    package static func < (a: Difference, b: Difference) -> Bool {
        a.database != b.database ? a.database < b.database : a.key.lexicographicallyPrecedes(b.key)
    }

    package var description: String {
        let what =
            switch kind {
            case .missing(let type): "missing (\(type))"
            case .unexpected(let type): "should not be there (\(type))"
            case .type(let expected, let actual): "is a \(actual), not a \(expected)"
            case .value(let difference): "value: \(difference)"
            case .expiry(let expected, let actual): "expires at \(actual), not \(expected)"
            }
        return "db \(database) \(DataNode.bytes(key).excerpt): \(what)"
    }

    /// The first `limit` differences, a line each, and how many more there are.
    package static func report(_ differences: [Difference], limit: Int = 20) -> String {
        var lines = differences.prefix(limit).map(\.description)
        if differences.count > limit { lines.append("and \(differences.count - limit) more") }
        return lines.joined(separator: "\n")
    }
}

extension DataNode {
    /// The value as JSON, cut to a length that a message can hold.
    package var excerpt: String {
        let json = canonicalJSON
        return String(decoding: json.prefix(120), as: UTF8.self) + (json.count > 120 ? "... (\(json.count) bytes)" : "")
    }

    /// Says in words where this value and `other` differ; they must not be equal.
    func firstDifference(from other: DataNode) -> String {
        switch (self, other) {
        case (.array(let a), .array(let b)):
            if let index = zip(a, b).enumerated().first(where: { $1.0 != $1.1 })?.offset {
                return "element \(index): \(a[index].firstDifference(from: b[index]))"
            }
            return "\(b.count) elements, not \(a.count)"
        case (.object(let a), .object(let b)):
            if let (left, right) = zip(a, b).first(where: { $0 != $1 }) {
                if left.name == right.name {
                    return "\(DataNode.bytes(left.name).excerpt): \(left.value.firstDifference(from: right.value))"
                }
                return "field \(DataNode.bytes(right.name).excerpt), not \(DataNode.bytes(left.name).excerpt)"
            }
            return "\(b.count) fields, not \(a.count)"
        default:
            return "\(other.excerpt), not \(excerpt)"
        }
    }
}
