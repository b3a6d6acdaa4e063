import Testing
import Wire

@testable import DragonflySimulator

/// A flow's content, decoded by the daemon's own decoder: nothing here knows how the simulator encodes.
struct DecodedFlow: FlowSink {
    struct Key: Hashable {
        let database: Int
        let key: [UInt8]
    }

    struct Record: Equatable {
        let database: Int
        let words: [String]
        let transaction: UInt64
        let isExpired: Bool
        let isInSnapshot: Bool

        /// The words with spaces between them.
        var line: String { words.joined(separator: " ") }
    }

    struct Entry: Equatable {
        var value: Value
        var expiresAt: Int64?
    }

    private(set) var fields: [String: String] = [:]
    private(set) var entries: [Key: Entry] = [:]
    private(set) var records: [Record] = []
    /// Keys in the order of their values, with the first key of each record where the record came: for the ordering rule.
    private(set) var order: [(key: [UInt8], isRecord: Bool)] = []
    private(set) var repeatedKeys = 0
    private(set) var endCount = 0
    private(set) var offset: UInt64?
    private(set) var lsns: [UInt64] = []
    private(set) var isStable = false
    private(set) var splitValues = 0
    private var open: [ChunkStreamID: OpenValue] = [:]

    private struct OpenValue {
        let head: EntryHead
        let key: [UInt8]
        var texts: [[UInt8]] = []
        var scores: [Double] = []
        var expiries: [Int64?] = []
        var stream = StreamValue()
    }

    /// Decodes a flow that answered FULL, `window` bytes at a time.
    init(_ bytes: [UInt8], token: String, window: Int = .max) throws {
        var decoder = FlowDecoder(snapshotToken: Array(token.utf8))
        var buffer = ByteBuffer()
        var fed = 0
        while fed < bytes.count {
            let piece = bytes[fed..<min(bytes.count, fed + min(window, bytes.count))]
            piece.withUnsafeBytes { buffer.append($0) }
            fed += piece.count
            let consumed = try decoder.decode(buffer.bytes, into: &self)
            buffer.removeFirst(consumed)
        }
        let left = buffer.count
        #expect(left == 0, "everything decodes")
    }

    /// The value of a key in database 0.
    subscript(_ key: String) -> Value? { entries[Key(database: 0, key: Array(key.utf8))]?.value }

    /// The lines of the records after the snapshot.
    var lines: [String] { records.filter { !$0.isInSnapshot }.map(\.line) }

    // MARK: FlowSink

    var isPaused: Bool { false }

    mutating func auxiliaryField(name: RawSpan, value: RawSpan) { fields[name.text] = value.text }

    mutating func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan) {
        keep(head, key.array, .string(value.array))
    }

    mutating func entry(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        open[0] = OpenValue(head: head, key: key.array)
        var decoder = ValueDecoder(type: head.type)
        var reader = ByteReader(body)
        do {
            #expect(try decoder.resume(&reader, into: &self))
            #expect(reader.remaining == 0)
        } catch {
            Issue.record(error)
        }
    }

    mutating func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {
        splitValues += 1
        open[stream] = OpenValue(head: head, key: key.array)
    }

    mutating func value(_ event: ValueEvent, stream: ChunkStreamID) {
        guard var value = open[stream] else {
            Issue.record("an event without a value")
            return
        }
        open[stream] = nil
        switch event {
        case .element(let bytes): value.texts.append(bytes.array)
        case .integerElement(let number): value.texts.append(Array(String(number).utf8))
        case .elementBegan: value.texts.append([])
        case .elementBytes(let bytes): value.texts[value.texts.count - 1] += bytes.array
        case .score(let score): value.scores.append(score)
        case .expiry(let milliseconds): value.expiries.append(milliseconds.map { $0 / 1000 })
        case .streamNode(let id, let listpack): read(id, listpack, into: &value.stream)
        case .streamInfo(let info):
            #expect(info.length == UInt64(value.stream.entries.count))
            value.stream.lastID = StreamValue.ID(info.lastID.milliseconds, info.lastID.sequence)
            value.stream.entriesAdded = info.entriesAdded ?? 0
            value.stream.maximumDeletedID =
                info.maxDeletedID.map { StreamValue.ID($0.milliseconds, $0.sequence) } ?? .init(0, 0)
        case .streamGroup, .streamPending, .streamConsumer, .streamConsumerPending: Issue.record("no groups")
        case .ended: return keep(value.head, value.key, Self.value(value))
        }
        open[stream] = value
    }

    mutating func command(_ command: Wire.JournalCommand, database: UInt32, inSnapshot: Bool) {
        var words: [String] = []
        var arguments = command.arguments
        while let argument = arguments.next() { words.append(argument.text) }
        records.append(
            Record(
                database: Int(database), words: words, transaction: command.transactionID,
                isExpired: command.isExpired, isInSnapshot: inSnapshot))
        order.append((Array(words.dropFirst().first?.utf8 ?? "".utf8), true))
    }

    mutating func journalPing(inSnapshot: Bool) {}
    mutating func journalLSN(_ lsn: UInt64) { lsns.append(lsn) }
    mutating func snapshotCompleted() { endCount += 1 }
    mutating func journalOffset(_ lsn: UInt64) { offset = lsn }
    mutating func stableStreamBegan() { isStable = true }
    mutating func errorReply(_ text: RawSpan) { Issue.record("the master answers \(text.text)") }

    private mutating func keep(_ head: EntryHead, _ key: [UInt8], _ value: Value) {
        let place = Key(database: Int(head.database), key: key)
        if entries.updateValue(Entry(value: value, expiresAt: head.expiryMilliseconds), forKey: place) != nil {
            repeatedKeys += 1
        }
        order.append((key, false))
    }

    private func read(_ id: Wire.StreamID, _ listpack: RawSpan, into stream: inout StreamValue) {
        do {
            var reader = try StreamNodeReader(masterID: id, listpack: listpack)
            while let entry = try reader.next() {
                if entry.isDeleted { continue }
                var fields: [[UInt8]] = []
                var elements = entry.fields
                while let field = try elements.next() {
                    fields.append(field.name.array)
                    fields.append(field.value.array)
                }
                stream.append(StreamValue.ID(entry.id.milliseconds, entry.id.sequence), fields)
            }
        } catch {
            Issue.record(error)
        }
    }

    private static func value(_ open: OpenValue) -> Value {
        let texts = open.texts
        let pairs = stride(from: 0, to: texts.count - texts.count % 2, by: 2).map { (texts[$0], texts[$0 + 1]) }
        switch open.head.type {
        case .string: return .string(texts.first ?? [])
        case .list: return .list(texts)
        case .set, .setIntset: return .set(Set(texts))
        case .hash, .hashListpack: return .hash(Dictionary(pairs) { $1 })
        case .zset, .zsetListpack: return .zset(Dictionary(zip(texts, open.scores)) { $1 })
        case .stream3: return .stream(open.stream)
        case .setWithExpiry: return .expiringSet(Dictionary(zip(texts, open.expiries)) { $1 })
        case .hashWithExpiry:
            return .expiringHash(
                Dictionary(
                    zip(pairs, open.expiries).map {
                        ($0.0, Value.ExpiringField(value: $0.1, expiresAtSeconds: $1))
                    }
                ) { $1 })
        default:
            Issue.record("type \(open.head.type)")
            return .string([])
        }
    }
}

extension RawSpan {
    var array: [UInt8] { withUnsafeBytes { Array($0) } }
    var text: String { String(decoding: array, as: UTF8.self) }
}

extension ListpackElement {
    var array: [UInt8] {
        switch self {
        case .integer(let number): Array(String(number).utf8)
        case .string(let bytes): bytes.array
        }
    }
}
