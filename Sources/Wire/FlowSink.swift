/// Which value a `ValueEvent` belongs to: 0 is the flow's own sequence, others are stream ids of tagged chunks.
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
    /// An element of so many bytes begins; exactly those follow as `elementBytes`.
    case elementBegan(byteCount: Int)
    case elementBytes(RawSpan)
    case score(Double)
    /// Unix time in milliseconds of the element before; `nil`: it does not expire.
    case expiry(Int64?)
    case streamNode(StreamID, listpack: RawSpan)
    case streamInfo(StreamInfo)
    case streamGroup(name: RawSpan, StreamGroupInfo)
    case streamPending(StreamPendingEntry)
    case streamConsumer(name: RawSpan, pendingCount: Int)
    /// An id in the pending list of the consumer before.
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
    /// Asked between items and between the elements of a value in parts: `true` makes the decoder return, with what it
    /// has consumed.
    var isPaused: Bool { get }

    mutating func auxiliaryField(name: RawSpan, value: RawSpan)

    /// A whole string key.
    mutating func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan)

    /// A whole key of another type; `body` is its value as it is in the stream, complete and bounded.
    mutating func entry(_ head: EntryHead, key: RawSpan, body: RawSpan)

    /// A key whose value follows in pieces.
    mutating func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID)
    mutating func value(_ event: ValueEvent, stream: ChunkStreamID)

    /// A write of the master. `inSnapshot`: it came inside the full sync, and has no LSN to count.
    mutating func command(_ command: JournalCommand, database: UInt32, inSnapshot: Bool)
    mutating func journalPing(inSnapshot: Bool)
    /// The LSN of the record just before.
    mutating func journalLSN(_ lsn: UInt64)

    /// FULLSYNC_END: the snapshot is complete, STARTSTABLE may be sent once every flow has got here.
    mutating func snapshotCompleted()
    /// JOURNAL_OFFSET: the LSN of the first record of the stable stream.
    mutating func journalOffset(_ lsn: UInt64)
    /// EOF and the right token have been read: from here on the flow is a journal.
    mutating func stableStreamBegan()

    /// The master answers with an error where an opcode belongs, such as an ACK that it refuses. `text` is the line after
    /// the `-`. What follows on the flow is no stream any more.
    mutating func errorReply(_ text: RawSpan)
}
