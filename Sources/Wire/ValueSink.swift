/// A sink for the events of one value outside a flow. It gets no other events of a flow.
package protocol ValueSink: FlowSink, ~Copyable {}

extension ValueSink where Self: ~Copyable {
    package var isPaused: Bool { false }
    package mutating func auxiliaryField(name: RawSpan, value: RawSpan) {}
    package mutating func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan) {}
    package mutating func entry(_ head: EntryHead, key: RawSpan, body: RawSpan) {}
    package mutating func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {}
    package mutating func command(_ command: JournalCommand, database: UInt32, inSnapshot: Bool) {}
    package mutating func journalPing(inSnapshot: Bool) {}
    package mutating func journalLSN(_ lsn: UInt64) {}
    package mutating func snapshotCompleted() {}
    package mutating func journalOffset(_ lsn: UInt64) {}
    package mutating func stableStreamBegan() {}
    package mutating func errorReply(_ text: RawSpan) {}
}
