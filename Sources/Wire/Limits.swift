/// The caps that guard memory against a length that the peer made up. A cap is far above what a sound peer sends.
package enum Limits {
    /// One RDB string, raw or decoded. Redis's own cap is 512 MB.
    package static let stringBytes = 1 << 30

    /// What one compressed blob of a full sync may hold. The master compresses at most 1 MiB.
    package static let blobBytes = 64 << 20

    /// Arguments of one journal record.
    package static let journalArguments = 1 << 24

    /// A journal sequence number: at a million records a second a master gets there in 146,000 years.
    package static let sequenceNumber: UInt64 = 1 << 62

    /// Arrays within arrays in one reply.
    package static let replyDepth = 16

    /// Elements of one array in a reply.
    package static let replyElements = 1 << 24

    /// One bulk string in a reply.
    package static let replyBulkBytes = 512 << 20

    /// An error reply in the middle of a flow.
    package static let flowErrorBytes = 512

    /// A reply's line: a simple string, an error, a number.
    package static let replyLineBytes = 64 << 10
}
