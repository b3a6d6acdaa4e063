import Wire

/// A sink that keeps what it gets. A value is one item, whether it arrives whole or in parts.
struct FlowRecorder: FlowSink {
    enum Item: Equatable {
        case auxiliary(String, String)
        case value(EntryHead, key: [UInt8], [Piece])
        case command([[UInt8]], database: UInt32, isExpired: Bool, inSnapshot: Bool)
        case ping(inSnapshot: Bool)
        case lsn(UInt64)
        case completed
        case offset(UInt64)
        case stable
        case error(String)
    }

    enum Piece: Equatable {
        case bytes([UInt8])
        /// Compared as bits, so that zeros and infinities keep their signs.
        case score(UInt64)
        case expiry(Int64?)
        case node(StreamID, [UInt8])
        case info(StreamInfo)
        case group([UInt8], StreamGroupInfo)
        case pending(StreamPendingEntry)
        case consumer([UInt8], Int)
        case consumerPending(StreamID)

        static func text(_ text: String) -> Piece { .bytes(Array(text.utf8)) }
        static func number(_ value: Double) -> Piece { .score(value.bitPattern) }
    }

    private struct Open {
        var head: EntryHead
        var key: [UInt8]
        var pieces: [Piece] = []
        var long: [UInt8]?
        var longBytesLeft = 0
    }

    var items: [Item] = []
    /// Values that came in one call, and in parts.
    private(set) var wholeValues = 0
    private(set) var partedValues = 0
    /// The number of events after which `isPaused` becomes true.
    var eventsLeft = Int.max
    /// The first violation of the order of events.
    private(set) var misuse: String?

    private var open: [ChunkStreamID: Open] = [:]

    var isPaused: Bool { eventsLeft <= 0 }
    var openValues: Int { open.count }

    private mutating func add(_ item: Item) {
        items.append(item)
        eventsLeft -= 1
    }

    private mutating func refuse(_ reason: String) { misuse = misuse ?? reason }

    mutating func auxiliaryField(name: RawSpan, value: RawSpan) { add(.auxiliary(name.text, value.text)) }

    mutating func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan) {
        wholeValues += 1
        add(.value(head, key: key.array, [.bytes(value.array)]))
    }

    mutating func entry(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        wholeValues += 1
        var inner = FlowRecorder()
        inner.valueBegan(head, key: key, stream: 0)
        inner.partedValues = 0
        var decoder = ValueDecoder(type: head.type)
        var reader = ByteReader(body)
        do throws(WireError) {
            let isWhole = try decoder.resume(&reader, into: &inner)
            if !isWhole || reader.remaining > 0 { refuse("the body of a \(head.type) is not one value") }
        } catch {
            refuse("the body of a \(head.type): \(error)")
        }
        if let reason = inner.misuse { refuse(reason) }
        for item in inner.items { add(item) }
    }

    mutating func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {
        if open[stream] != nil { refuse("a value began while stream \(stream) was open") }
        partedValues += 1
        open[stream] = Open(head: head, key: key.array)
        eventsLeft -= 1
    }

    mutating func value(_ event: ValueEvent, stream: ChunkStreamID) {
        eventsLeft -= 1
        guard var value = open.removeValue(forKey: stream) else { return refuse("an element of no value") }
        if case .elementBytes(let bytes) = event {
            value.long?.append(contentsOf: bytes.array)
            value.longBytesLeft -= bytes.byteCount
            if value.long == nil || value.longBytesLeft < 0 { refuse("too many bytes of a long element") }
            if value.longBytesLeft == 0, let long = value.long {
                value.pieces.append(.bytes(long))
                value.long = nil
            }
            open[stream] = value
            return
        }
        if value.long != nil { refuse("too few bytes of a long element") }
        switch event {
        case .element(let bytes): value.pieces.append(.bytes(bytes.array))
        case .integerElement(let number): value.pieces.append(.text("\(number)"))
        case .elementBegan(let count): (value.long, value.longBytesLeft) = ([], count)
        case .elementBytes: break
        case .score(let score): value.pieces.append(.number(score))
        case .expiry(let time): value.pieces.append(.expiry(time))
        case .streamNode(let id, let listpack): value.pieces.append(.node(id, listpack.array))
        case .streamInfo(let info): value.pieces.append(.info(info))
        case .streamGroup(let name, let group): value.pieces.append(.group(name.array, group))
        case .streamPending(let entry): value.pieces.append(.pending(entry))
        case .streamConsumer(let name, let count): value.pieces.append(.consumer(name.array, count))
        case .streamConsumerPending(let id): value.pieces.append(.consumerPending(id))
        case .ended:
            items.append(.value(value.head, key: value.key, value.pieces))
            return
        }
        open[stream] = value
    }

    mutating func command(_ command: JournalCommand, database: UInt32, inSnapshot: Bool) {
        var arguments: [[UInt8]] = []
        var rest = command.arguments
        while let argument = rest.next() { arguments.append(argument.array) }
        add(.command(arguments, database: database, isExpired: command.isExpired, inSnapshot: inSnapshot))
    }

    mutating func journalPing(inSnapshot: Bool) { add(.ping(inSnapshot: inSnapshot)) }
    mutating func journalLSN(_ lsn: UInt64) { add(.lsn(lsn)) }
    mutating func snapshotCompleted() { add(.completed) }
    mutating func journalOffset(_ lsn: UInt64) { add(.offset(lsn)) }
    mutating func stableStreamBegan() { add(.stable) }
    mutating func errorReply(_ text: RawSpan) { add(.error(text.text)) }
}

extension FlowRecorder.Item: CustomStringConvertible {
    var description: String {
        func text(_ bytes: [UInt8]) -> String {
            bytes.count <= 64 ? printableKey(bytes.span.bytes) : "<\(bytes.count) bytes>"
        }
        switch self {
        case .auxiliary(let name, let value): return "AUX \(name)=\(value)"
        case .value(let head, let key, let pieces):
            let shown = pieces.prefix(8).map { piece in
                if case .bytes(let bytes) = piece { text(bytes) } else { "\(piece)" }
            }
            let more = pieces.count > 8 ? " and \(pieces.count - 8) more" : ""
            return "\(head) \(text(key)): \(shown.joined(separator: ", "))\(more)"
        case .command(let arguments, let database, let isExpired, let inSnapshot):
            return
                "\(isExpired ? "EXPIRED " : "")\(arguments.map(text)) db \(database)\(inSnapshot ? " in snapshot" : "")"
        case .ping: return "PING"
        case .lsn(let lsn): return "LSN \(lsn)"
        case .completed: return "FULLSYNC_END"
        case .offset(let lsn): return "OFFSET \(lsn)"
        case .stable: return "STABLE"
        case .error(let text): return "ERROR \(text)"
        }
    }
}
