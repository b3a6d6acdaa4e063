/// The value to which a `ValueEvent` belongs: 0 for the flow's own sequence, otherwise the stream ID of tagged chunks.
package typealias ChunkStreamID = UInt32

/// One step of a value that is too large, or too foreign, to be handed over whole.
///
/// A value is `began`, then its elements in their order, then `ended`. What the elements are follows from the type:
/// hash: field, value; hash with expiry: field, value, expiry; set: member; set with expiry: member, expiry; zset:
/// member, score; list: element; string: one element. A long element comes as `elementBegan`, `elementBytes`...
package enum ValueEvent: ~Escapable {
    case element(RawSpan)
    /// An integer element: its decimal text is the element.
    case integerElement(Int64)
    /// An element of `byteCount` bytes begins. Exactly this many bytes follow as `elementBytes`.
    case elementBegan(byteCount: Int)
    case elementBytes(RawSpan)
    case score(Double)
    /// The expiry of the preceding element as Unix time in milliseconds; `nil` if it does not expire.
    case expiry(Int64?)
    case streamNode(StreamID, listpack: RawSpan)
    case streamInfo(StreamInfo)
    case streamGroup(name: RawSpan, StreamGroupInfo)
    case streamPending(StreamPendingEntry)
    case streamConsumer(name: RawSpan, pendingCount: Int)
    /// An ID in the pending list of the preceding consumer.
    case streamConsumerPending(StreamID)
    case ended
}

/// The numbers of a stream apart from its entries. `maxDeletedID` and `entriesAdded` are absent in type 15.
package struct StreamInfo: Equatable, Sendable {
    package var length: UInt64
    package var lastID: StreamID
    package var maxDeletedID: StreamID?
    package var entriesAdded: UInt64?

    package init(length: UInt64, lastID: StreamID, maxDeletedID: StreamID? = nil, entriesAdded: UInt64? = nil) {
        self.length = length
        self.lastID = lastID
        self.maxDeletedID = maxDeletedID
        self.entriesAdded = entriesAdded
    }
}

/// A consumer group's own numbers. `entriesRead` is `nil` when the master does not know it.
package struct StreamGroupInfo: Equatable, Sendable {
    package var lastID: StreamID
    package var entriesRead: UInt64?

    package init(lastID: StreamID, entriesRead: UInt64?) {
        self.lastID = lastID
        self.entriesRead = entriesRead
    }
}

/// A delivered and not yet acknowledged entry of a group.
package struct StreamPendingEntry: Equatable, Sendable {
    package var id: StreamID
    package var deliveryTimeMilliseconds: Int64
    package var deliveryCount: UInt64

    package init(id: StreamID, deliveryTimeMilliseconds: Int64, deliveryCount: UInt64) {
        self.id = id
        self.deliveryTimeMilliseconds = deliveryTimeMilliseconds
        self.deliveryCount = deliveryCount
    }
}

/// What a `FlowDecoder` finds, in stream order. All spans are valid during the call only.
package protocol FlowSink: ~Copyable {
    /// Whether the decoder must return after what it has consumed. It asks between items and between the elements of a value
    /// in parts.
    var isPaused: Bool { get }

    mutating func auxiliaryField(name: RawSpan, value: RawSpan)

    /// A whole string key.
    mutating func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan)

    /// A whole key of another type; `body` is its value as it is in the stream, complete and bounded.
    mutating func entry(_ head: EntryHead, key: RawSpan, body: RawSpan)

    /// A key whose value follows in pieces.
    mutating func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID)
    mutating func value(_ event: ValueEvent, stream: ChunkStreamID)

    /// A write of the master. `inSnapshot` says that it came inside the full sync and so has no LSN to count.
    mutating func command(_ command: JournalCommand, database: UInt32, inSnapshot: Bool)
    mutating func journalPing(inSnapshot: Bool)
    /// The LSN of the preceding record.
    mutating func journalLSN(_ lsn: UInt64)

    /// FULLSYNC_END: the snapshot is complete. STARTSTABLE may be sent after every flow has reached this point.
    mutating func snapshotCompleted()
    /// JOURNAL_OFFSET: the LSN of the first record of the stable stream.
    mutating func journalOffset(_ lsn: UInt64)
    /// EOF and the correct token have been read. From here on the flow is a journal.
    mutating func stableStreamBegan()

    /// The master has sent an error where an opcode belongs, for example because it refuses an ACK. `text` is the line after
    /// the `-`. The bytes after it are no longer a stream.
    mutating func errorReply(_ text: RawSpan)
}
