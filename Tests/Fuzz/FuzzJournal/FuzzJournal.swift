import Wire

// The bytes are a flow that continues with its journal. They are decoded as a whole, and then in pieces whose sizes depend
// on the bytes: both must report the same.

/// Entry point of libFuzzer.
@_cdecl("LLVMFuzzerTestOneInput")
func fuzzJournal(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: start, count: count)
    let whole = outcome(of: bytes) { count }
    var state = UInt64(count) &* 0x9E37_79B9_7F4A_7C15
    for byte in bytes.suffix(8) { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
    let parts = outcome(of: bytes) {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % 20 + 1
    }
    precondition(whole == parts, "a journal means the same however it arrives")
    return 0
}

private struct Outcome: Equatable {
    var digest: UInt64
    var error: FlowDecodingError?
    var unconsumed = 0
}

private func outcome(of bytes: UnsafeRawBufferPointer, nextPiece: () -> Int) -> Outcome {
    var decoder = FlowDecoder(journalWithMaxRecordBytes: 1 << 20)
    var sink = JournalSink()
    var window = ByteBuffer()
    var fed = 0
    repeat {
        let piece = min(nextPiece(), bytes.count - fed)
        window.append(UnsafeRawBufferPointer(rebasing: bytes[fed..<(fed + piece)]))
        fed += piece
        do throws(FlowDecodingError) {
            window.removeFirst(try decoder.decode(window.bytes, into: &sink))
        } catch {
            return Outcome(digest: sink.digest, error: error)
        }
    } while fed < bytes.count
    return Outcome(digest: sink.digest, error: nil, unconsumed: window.count)
}

/// Digests the records; a snapshot must not occur.
private struct JournalSink: FlowSink {
    private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325

    var isPaused: Bool { false }

    private mutating func add(_ number: UInt64) { digest = (digest ^ number) &* 0x100_0000_01B3 }

    mutating func command(_ command: JournalCommand, database: UInt32, inSnapshot: Bool) {
        precondition(!inSnapshot, "there is no snapshot in a journal")
        add(UInt64(database) << 1 | (command.isExpired ? 1 : 0))
        add(command.transactionID)
        var arguments = command.arguments
        var (count, sum) = (0, 0)
        while let argument = arguments.next() {
            argument.withUnsafeBytes { for byte in $0 { add(UInt64(byte)) } }
            count += 1
            sum += argument.byteCount
        }
        precondition(count == command.argumentCount && sum == command.argumentBytes, "a command is as it tells")
        precondition(command.name.byteCount <= sum, "a command has a name")
    }

    mutating func journalPing(inSnapshot: Bool) { add(13) }
    mutating func journalLSN(_ lsn: UInt64) { add(lsn) }

    mutating func auxiliaryField(name: RawSpan, value: RawSpan) { refuse() }
    mutating func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan) { refuse() }
    mutating func entry(_ head: EntryHead, key: RawSpan, body: RawSpan) { refuse() }
    mutating func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) { refuse() }
    mutating func value(_ event: ValueEvent, stream: ChunkStreamID) { refuse() }
    mutating func snapshotCompleted() { refuse() }
    mutating func journalOffset(_ lsn: UInt64) { refuse() }
    mutating func stableStreamBegan() { refuse() }
    mutating func errorReply(_ text: RawSpan) { add(UInt64(text.byteCount)) }

    private func refuse() { preconditionFailure("a journal holds records only") }
}
