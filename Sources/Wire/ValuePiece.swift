/// A part of a value that was read with ordinary commands; the parts of one value come in this order.
///
/// | type | parts |
/// |---|---|
/// | string | its bytes, in order |
/// | list | its elements, in order |
/// | set, hash | elements in no order, some perhaps twice |
/// | zset | members in the order of their scores |
/// | stream | entries, its position, and for each group: the group, its consumers, its pending entries |
package enum ValuePiece: Sendable, Equatable {
    case string([UInt8])
    case list([[UInt8]])
    case set([Element])
    case hash([Element])
    case zset([Member])
    case entries([Entry])
    case position(Position)
    case group(name: [UInt8], lastID: [UInt8], entriesRead: Int64?)
    case consumer(group: [UInt8], name: [UInt8])
    case pending(group: [UInt8], [Pending])

    /// A member of a set, or a field of a hash.
    package struct Element: Sendable, Equatable {
        package var name: [UInt8]
        /// Empty for a member of a set.
        package var value: [UInt8]
        /// The Unix time in milliseconds at which the element expires; `nil` if it does not.
        package var deadline: Int64?

        package init(_ name: [UInt8], _ value: [UInt8] = [], deadline: Int64? = nil) {
            (self.name, self.value, self.deadline) = (name, value, deadline)
        }
    }

    /// A member of a sorted set. Its score is the source's text, which reads back as the same number.
    package struct Member: Sendable, Equatable {
        package var name: [UInt8]
        package var score: [UInt8]

        package init(_ name: [UInt8], score: [UInt8]) { (self.name, self.score) = (name, score) }
    }

    package struct Entry: Sendable, Equatable {
        package var id: [UInt8]
        /// Alternating names and values.
        package var fields: [[UInt8]]

        package init(_ id: [UInt8], _ fields: [[UInt8]]) { (self.id, self.fields) = (id, fields) }
    }

    /// The numbers from which a stream continues.
    package struct Position: Sendable, Equatable {
        package var lastID: [UInt8]
        package var entriesAdded: Int64
        package var maxDeletedID: [UInt8]

        package init(lastID: [UInt8], entriesAdded: Int64, maxDeletedID: [UInt8]) {
            (self.lastID, self.entriesAdded, self.maxDeletedID) = (lastID, entriesAdded, maxDeletedID)
        }
    }

    /// An entry that a consumer has not acknowledged.
    package struct Pending: Sendable, Equatable {
        package var id: [UInt8]
        package var consumer: [UInt8]
        /// Unix time in milliseconds.
        package var deliveredAt: Int64
        package var deliveries: Int64

        package init(id: [UInt8], consumer: [UInt8], deliveredAt: Int64, deliveries: Int64) {
            (self.id, self.consumer, self.deliveredAt, self.deliveries) = (id, consumer, deliveredAt, deliveries)
        }
    }
}
