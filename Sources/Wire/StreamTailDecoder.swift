/// The part of a stream value after its nodes: numbers, groups, pending entries, consumers.
///
/// ```
/// length | last id | [first id | max deleted id | entries added] | groups
///   group:    name | last id | [entries read] | pending count | pending: 16-byte id, i64 time, count
///             consumers | consumer: name | i64 seen | [i64 active] | pending count | 16-byte ids
/// ```
/// The parts in brackets occur in types 19 and 21, `active` only in type 21. Source: Protocol 3.7.4.
struct StreamTailDecoder {
    private let type: RDBType
    private var stage = Stage.info

    private enum Stage {
        case info
        case groups(UInt64)
        case pending(UInt64, groups: UInt64)
        case consumerCount(groups: UInt64)
        case consumers(UInt64, groups: UInt64)
        case consumerPending(UInt64, consumers: UInt64, groups: UInt64)
    }

    init(type: RDBType) { self.type = type }

    /// - Returns: `true` at the end of the value, `false` when more bytes are needed or the sink paused.
    mutating func resume(
        _ reader: inout ByteReader, stream: ChunkStreamID, scratch: inout ByteBuffer,
        into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        while true {
            if sink.isPaused, reader.remaining > 0 { return false }
            let start = reader.offset
            switch stage {
            case .info:
                guard let info = try readInfo(&reader), let groups = try reader.readLength() else {
                    reader.rewind(to: start)
                    return false
                }
                sink.value(.streamInfo(info), stream: stream)
                stage = .groups(groups)
            case .groups(0):
                return true
            case .groups(let left):
                guard let pending = try readGroup(&reader, stream: stream, scratch: &scratch, into: &sink) else {
                    reader.rewind(to: start)
                    return false
                }
                stage = .pending(pending, groups: left - 1)
            case .pending(0, let groups):
                stage = .consumerCount(groups: groups)
            case .pending(let left, let groups):
                guard let id = StreamID(readBigEndian: &reader), let time = reader.readLittleEndian(Int64.self),
                    let count = try reader.readLength()
                else {
                    reader.rewind(to: start)
                    return false
                }
                sink.value(
                    .streamPending(.init(id: id, deliveryTimeMilliseconds: time, deliveryCount: count)), stream: stream)
                stage = .pending(left - 1, groups: groups)
            case .consumerCount(let groups):
                guard let count = try reader.readLength() else { return false }
                stage = .consumers(count, groups: groups)
            case .consumers(0, let groups):
                stage = .groups(groups)
            case .consumers(let left, let groups):
                guard let pending = try readConsumer(&reader, stream: stream, scratch: &scratch, into: &sink) else {
                    reader.rewind(to: start)
                    return false
                }
                stage = .consumerPending(pending, consumers: left - 1, groups: groups)
            case .consumerPending(0, let consumers, let groups):
                stage = .consumers(consumers, groups: groups)
            case .consumerPending(let left, let consumers, let groups):
                guard let id = StreamID(readBigEndian: &reader) else { return false }
                sink.value(.streamConsumerPending(id), stream: stream)
                stage = .consumerPending(left - 1, consumers: consumers, groups: groups)
            }
        }
    }

    private func readInfo(_ reader: inout ByteReader) throws(WireError) -> StreamInfo? {
        guard let length = try reader.readLength(), let last = try reader.readLengthStreamID() else { return nil }
        guard type != .stream1 else { return StreamInfo(length: length, lastID: last) }
        guard try reader.readLengthStreamID() != nil, let deleted = try reader.readLengthStreamID(),
            let added = try reader.readLength()
        else { return nil }
        return StreamInfo(length: length, lastID: last, maxDeletedID: deleted, entriesAdded: added)
    }

    private func readGroup(
        _ reader: inout ByteReader, stream: ChunkStreamID, scratch: inout ByteBuffer,
        into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> UInt64? {
        // The name is read twice: first its length, and then, after the whole head has arrived, the name itself.
        let start = reader.offset
        guard try reader.skipString(), let last = try reader.readLengthStreamID() else { return nil }
        var entriesRead: UInt64?
        if type != .stream1 {
            guard let count = try reader.readLength() else { return nil }
            entriesRead = count == .max ? nil : count
        }
        guard let pending = try reader.readLength() else { return nil }
        let info = StreamGroupInfo(lastID: last, entriesRead: entriesRead)
        var name = ByteReader(reader.bytes, offset: start)
        _ = try name.readInlineString(scratch: &scratch) { (text) throws(WireError) in
            sink.value(.streamGroup(name: text, info), stream: stream)
        }
        return pending
    }

    private func readConsumer(
        _ reader: inout ByteReader, stream: ChunkStreamID, scratch: inout ByteBuffer,
        into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> UInt64? {
        let start = reader.offset
        guard try reader.skipString(), reader.skip(type == .stream3 ? 16 : 8),
            let pending = try reader.readCount("consumer's pending entries")
        else { return nil }
        var name = ByteReader(reader.bytes, offset: start)
        _ = try name.readInlineString(scratch: &scratch) { (text) throws(WireError) in
            sink.value(.streamConsumer(name: text, pendingCount: pending), stream: stream)
        }
        return UInt64(pending)
    }
}

extension ByteReader {
    /// Two RDB lengths. The caller rewinds when bytes are missing.
    mutating func readLengthStreamID() throws(WireError) -> StreamID? {
        guard let ms = try readLength(), let sequence = try readLength() else { return nil }
        return StreamID(milliseconds: ms, sequence: sequence)
    }
}
