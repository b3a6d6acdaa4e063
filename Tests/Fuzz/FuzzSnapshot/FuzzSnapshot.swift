import Wire

// The bytes are a flow from its first byte on, with a token of 40 zeros. They are decoded as a whole, and then in pieces
// whose sizes depend on the bytes, with a sink that pauses now and then: both must report the same.

/// Entry point of libFuzzer.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzSnapshot(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: start, count: count)
    let whole = outcome(of: bytes, nextPiece: { count }, pause: .max)
    var state = UInt64(count) &* 0x9E37_79B9_7F4A_7C15
    for byte in bytes.suffix(8) { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
    let parts = outcome(
        of: bytes,
        nextPiece: {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % (state >> 62 == 0 ? 3 : 200) + 1
        }, pause: 1 + Int(state % 7))
    precondition(whole == parts, "a flow means the same however it arrives")
    return 0
}

private struct Outcome: Equatable {
    var digest: UInt64
    var error: FlowDecodingError?
    var unconsumed = 0
}

private func outcome(of bytes: UnsafeRawBufferPointer, nextPiece: () -> Int, pause: Int) -> Outcome {
    var decoder = FlowDecoder(snapshotToken: [UInt8](repeating: 0x30, count: 40), maxRecordBytes: 1 << 20)
    var sink = DigestingSink(eventsLeft: pause)
    var window = ByteBuffer()
    var fed = 0
    repeat {
        let piece = min(nextPiece(), bytes.count - fed)
        window.append(UnsafeRawBufferPointer(rebasing: bytes[fed..<(fed + piece)]))
        fed += piece
        while true {
            do throws(FlowDecodingError) {
                window.removeFirst(try decoder.decode(window.bytes, into: &sink))
            } catch {
                return Outcome(digest: sink.digest, error: error)
            }
            guard sink.isPaused else { break }
            sink.eventsLeft = pause
        }
    } while fed < bytes.count
    return Outcome(digest: sink.digest, error: nil, unconsumed: window.count)
}

/// Digests everything that it gets; the pieces of a long element count as one.
private struct DigestingSink: FlowSink {
    var eventsLeft: Int
    private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    private var open: Set<ChunkStreamID> = []
    private var longBytesLeft: [ChunkStreamID: Int] = [:]

    var isPaused: Bool { eventsLeft <= 0 }

    init(eventsLeft: Int) { self.eventsLeft = eventsLeft }

    private mutating func add(_ number: UInt64) { digest = (digest ^ number) &* 0x100_0000_01B3 }

    private mutating func add(_ bytes: RawSpan) { bytes.withUnsafeBytes { for byte in $0 { add(UInt64(byte)) } } }

    private mutating func add(_ head: EntryHead) {
        add(UInt64(head.type.rawValue) << 32 | UInt64(head.database))
        add(UInt64(bitPattern: head.expiryMilliseconds ?? -1) << 1 | (head.isSticky ? 1 : 0))
    }

    private mutating func began(_ event: UInt64) {
        eventsLeft -= 1
        add(event)
    }

    mutating func auxiliaryField(name: RawSpan, value: RawSpan) {
        began(1)
        add(name)
        add(value)
    }

    mutating func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan) {
        began(2)
        add(head)
        add(key)
        add(value)
    }

    mutating func entry(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        began(3)
        add(head)
        add(key)
        add(body)
        var inner = DigestingSink(eventsLeft: .max)
        inner.valueBegan(head, key: key, stream: 0)
        var decoder = ValueDecoder(type: head.type)
        var reader = ByteReader(body)
        // A value that was skipped may still be broken inside, so its decoding may fail, but it must end.
        let isWhole = try? decoder.resume(&reader, into: &inner)
        add(isWhole == true ? inner.digest : 0)
        var older = ByteBuffer()
        if head.type == .stream3 {
            do throws(WireError) {
                try older.append(streamWithoutActiveTimes: body)
            } catch {
                precondition(isWhole != true, "a stream that is sound can be written as its older type: \(error)")
            }
        }
    }

    mutating func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {
        began(4)
        add(head)
        add(key)
        let isNew = open.insert(stream).inserted
        precondition(isNew, "a stream id has one value at a time")
    }

    mutating func value(_ event: ValueEvent, stream: ChunkStreamID) {
        precondition(open.contains(stream), "an element belongs to a value")
        if case .elementBytes(let bytes) = event {
            let left = (longBytesLeft[stream] ?? 0) - bytes.byteCount
            precondition(left >= 0, "no more bytes of a long element than were announced")
            longBytesLeft[stream] = left
            eventsLeft -= 1
            add(bytes)
            return
        }
        precondition((longBytesLeft[stream] ?? 0) == 0, "a long element is complete before the next")
        began(5 + UInt64(stream) << 8)
        switch event {
        case .element(let bytes): add(bytes)
        case .integerElement(let number): add(UInt64(bitPattern: number))
        case .elementBegan(let count):
            add(UInt64(count))
            longBytesLeft[stream] = count
        case .elementBytes: break
        case .score(let score):
            precondition(!score.isNaN, "a score is a number")
            add(score.bitPattern)
        case .expiry(let time): add(UInt64(bitPattern: time ?? -1))
        case .streamNode(let id, let listpack):
            add(id.milliseconds)
            add(id.sequence)
            add(listpack)
            readEntries(id, listpack)
        case .streamInfo(let info): add(info.length)
        case .streamGroup(let name, let info):
            add(name)
            add(info.entriesRead ?? .max)
        case .streamPending(let entry): add(entry.deliveryCount)
        case .streamConsumer(let name, let count):
            add(name)
            add(UInt64(count))
        case .streamConsumerPending(let id): add(id.sequence)
        case .ended: open.remove(stream)
        }
    }

    private mutating func readEntries(_ id: StreamID, _ listpack: RawSpan) {
        do throws(WireError) {
            var node = try StreamNodeReader(masterID: id, listpack: listpack)
            while let entry = try node.next() {
                var fields = entry.fields
                while try fields.next() != nil { add(1) }
            }
        } catch { add(UInt64(error.offset)) }
    }

    mutating func command(_ command: JournalCommand, database: UInt32, inSnapshot: Bool) {
        began(inSnapshot ? 6 : 7)
        add(UInt64(database))
        var arguments = command.arguments
        while let argument = arguments.next() { add(argument) }
    }

    mutating func journalPing(inSnapshot: Bool) { began(8) }
    mutating func journalLSN(_ lsn: UInt64) { began(lsn) }
    mutating func snapshotCompleted() { began(9) }
    mutating func journalOffset(_ lsn: UInt64) { began(lsn) }
    mutating func stableStreamBegan() { began(10) }
    mutating func errorReply(_ text: RawSpan) { began(UInt64(text.byteCount)) }
}
