/// A value of the key space.
package enum Value: Sendable, Equatable {
    case string([UInt8])
    case list([[UInt8]])
    case set(Set<[UInt8]>)
    case hash([[UInt8]: [UInt8]])
    case zset([[UInt8]: Double])
    case stream(StreamValue)
    /// A hash whose fields have an expiry in Unix seconds; `nil` if a field does not expire.
    case expiringHash([[UInt8]: ExpiringField])
    /// A set whose members have an expiry in Unix seconds; `nil` if a member does not expire.
    case expiringSet([[UInt8]: Int64?])
    /// A Bloom filter; nobody reads its contents.
    case bloomFilter

    package struct ExpiringField: Sendable, Equatable {
        package let value: [UInt8]
        package let expiresAtSeconds: Int64?
    }

    /// The name that TYPE returns.
    package var typeName: String {
        switch self {
        case .string: "string"
        case .list: "list"
        case .set, .expiringSet: "set"
        case .hash, .expiringHash: "hash"
        case .zset: "zset"
        case .stream: "stream"
        case .bloomFilter: "MBbloom--"
        }
    }

    /// Whether this is an empty collection, which the command that emptied it deletes; an empty stream stays.
    var isEmptyCollection: Bool {
        switch self {
        case .string, .stream, .bloomFilter: false
        case .list(let elements): elements.isEmpty
        case .set(let members): members.isEmpty
        case .hash(let fields): fields.isEmpty
        case .zset(let members): members.isEmpty
        case .expiringHash(let fields): fields.isEmpty
        case .expiringSet(let members): members.isEmpty
        }
    }
}

/// A stream; its groups have no pending entries and no consumers.
package struct StreamValue: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        package let id: ID
        /// Field, value, field, value ...
        package let fields: [[UInt8]]
    }

    package var entries: [Entry] = []
    package var lastID = ID(0, 0)
    package var maximumDeletedID = ID(0, 0)
    package var entriesAdded: UInt64 = 0
    /// The last id that each group has delivered.
    package var groups: [[UInt8]: ID] = [:]

    package init() {}

    package mutating func append(_ id: ID, _ fields: [[UInt8]]) {
        entries.append(Entry(id: id, fields: fields))
        lastID = id
        entriesAdded += 1
    }
}

extension StreamValue {
    /// The id of a stream entry.
    package struct ID: Sendable, Hashable, Comparable, CustomStringConvertible {
        package let milliseconds: UInt64
        package let sequence: UInt64

        package init(_ milliseconds: UInt64, _ sequence: UInt64) {
            self.milliseconds = milliseconds
            self.sequence = sequence
        }

        /// Parses `ms-seq`, or `ms` alone with `missingSequence` as its sequence.
        init?(_ text: String, missingSequence: UInt64 = 0) {
            let parts = text.split(separator: "-", maxSplits: 1).map { UInt64($0) }
            guard let first = parts.first, let milliseconds = first else { return nil }
            guard parts.count == 2 else {
                self.init(milliseconds, missingSequence)
                return
            }
            guard let sequence = parts[1] else { return nil }
            self.init(milliseconds, sequence)
        }

        package static func < (a: Self, b: Self) -> Bool { (a.milliseconds, a.sequence) < (b.milliseconds, b.sequence) }

        package var description: String { "\(milliseconds)-\(sequence)" }
    }
}
