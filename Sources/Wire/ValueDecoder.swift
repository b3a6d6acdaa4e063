/// Decodes one value element by element, from bytes that arrive in pieces.
///
/// `resume` consumes complete elements. It returns `true` if the value is complete, and `false` if it needs more bytes than
/// the reader has or if the sink paused. The reader's offset is after the consumed bytes, and the next call continues there.
/// An element of more than `pieceBytes` is handed on as it arrives, so memory stays bounded regardless of the value's size;
/// only a listpack, an intset or a ziplist must have arrived completely.
///
/// Source: Protocol 3.6 (bodies), 3.7.4 (streams), 3.7.5 and 8.3 (sketches).
package struct ValueDecoder: ~Copyable {
    /// Elements up to this size are handed over in one span.
    package static let pieceBytes = 64 << 10
    /// 2023-02-01 00:00:00 UTC in seconds, from which member expiries are counted (`kMemberExpiryBase`).
    package static let memberExpiryBase: Int64 = 1_675_209_600

    package let type: RDBType
    private let stream: ChunkStreamID
    private var stage: Stage
    private var scratch = ByteBuffer()
    private var sketch: SketchSkipper?
    private var streamTail: StreamTailDecoder

    private enum Stage {
        case head
        /// `slot` is the place within the element: field 0, value 1, ...
        case slots(elements: UInt64, slot: Int)
        case listNodes(UInt64)
        case listNode(ListContainer, left: UInt64)
        case streamNodes(UInt64)
        case streamTail
        case sketch
        case done
    }

    // The long element that is being handed on; `stage` is what comes after it.
    private var longTextBytesLeft = 0
    private var longCompressed: LZFDecoder?

    package init(type: RDBType, stream: ChunkStreamID = 0) {
        self.type = type
        self.stream = stream
        stage = .head
        streamTail = StreamTailDecoder(type: type)
    }

    /// - Returns: `true` at the end of the value, `false` if more bytes are needed or the sink paused. It pauses only while
    ///   the reader has bytes left, so a caller that comes back with them misses nothing.
    package mutating func resume(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        while true {
            if sink.isPaused, reader.remaining > 0 { return false }
            guard try continueLongElement(&reader, into: &sink) else { return false }
            switch stage {
            case .head:
                guard try readHead(&reader) else { return false }
            case .slots(0, _), .listNodes(0):
                stage = .done
            case .slots(let elements, let slot):
                guard try readSlot(&reader, elements: elements, slot: slot, into: &sink) else { return false }
            case .listNodes(let left):
                guard let container = try reader.readListContainer() else { return false }
                stage = .listNode(container, left: left)
            case .listNode(let container, let left):
                guard try readListNode(&reader, container: container, left: left, into: &sink) else { return false }
            case .streamNodes(0):
                stage = .streamTail
            case .streamNodes(let left):
                guard try readStreamNode(&reader, into: &sink) else { return false }
                stage = .streamNodes(left - 1)
            case .streamTail:
                guard try streamTail.resume(&reader, stream: stream, scratch: &scratch, into: &sink) else {
                    return false
                }
                stage = .done
            case .sketch:
                guard try sketch?.resume(&reader) ?? true else { return false }
                stage = .done
            case .done:
                sink.value(.ended, stream: stream)
                return true
            }
        }
    }

    /// Whether a long element has begun and not ended.
    var isInsideElement: Bool { longTextBytesLeft > 0 || longCompressed != nil }

    /// - Returns: `false` if there is a long element and it continues in bytes that have not arrived.
    private mutating func continueLongElement(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        if longTextBytesLeft > 0 {
            let count = min(longTextBytesLeft, reader.remaining)
            guard count > 0, let piece = reader.readSpan(count) else { return false }
            longTextBytesLeft -= count
            sink.value(.elementBytes(piece), stream: stream)
            return longTextBytesLeft == 0
        }
        while longCompressed != nil {
            scratch.removeAll()
            let isFinished = try longCompressed?.decode(&reader, into: &scratch, limit: Self.pieceBytes) ?? true
            if !scratch.isEmpty { sink.value(.elementBytes(scratch.bytes), stream: stream) }
            if isFinished {
                longCompressed = nil
            } else if scratch.count < Self.pieceBytes || (sink.isPaused && reader.remaining > 0) {
                return false
            }
        }
        return true
    }

    private mutating func readHead(_ reader: inout ByteReader) throws(WireError) -> Bool {
        switch type {
        case .string, .json:
            stage = .slots(elements: 1, slot: 0)
        case .set, .hash, .zset, .zsetText, .hashWithExpiry, .setWithExpiry, .listZiplists:
            guard let count = try reader.readLength() else { return false }
            stage = .slots(elements: count, slot: 0)
        case .list:
            guard let count = try reader.readLength() else { return false }
            stage = .listNodes(count)
        case .stream1, .stream2, .stream3:
            guard let count = try reader.readLength() else { return false }
            stage = .streamNodes(count)
        case .setIntset, .zsetZiplist, .hashZiplist, .hashListpack, .zsetListpack, .setListpack:
            stage = .slots(elements: 1, slot: 0)
        case .bloomFilter, .bloomFilterChunked, .countMinSketch, .topK, .cuckooFilter:
            sketch = SketchSkipper(type: type)
            stage = .sketch
        }
        return true
    }

    // MARK: Elements made of strings and numbers

    private mutating func readSlot(
        _ reader: inout ByteReader, elements: UInt64, slot: Int, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        func next(of slots: Int) -> Stage {
            slot + 1 < slots ? .slots(elements: elements, slot: slot + 1) : .slots(elements: elements - 1, slot: 0)
        }
        switch (type, slot) {
        case (.zset, 1):
            guard let score = reader.readDouble() else { return false }
            guard !score.isNaN else { throw .malformed("a zset score is not a number", offset: reader.offset - 8) }
            sink.value(.score(score), stream: stream)
            stage = next(of: 2)
        case (.zsetText, 1):
            guard let score = try reader.readTextDouble() else { return false }
            sink.value(.score(score), stream: stream)
            stage = next(of: 2)
        case (.hashWithExpiry, 2), (.setWithExpiry, 1):
            guard let expiry = try reader.readMemberExpiry(scratch: &scratch) else { return false }
            sink.value(.expiry(expiry), stream: stream)
            stage = .slots(elements: elements - 1, slot: 0)
        case (.hash, _), (.zset, _), (.zsetText, _), (.setWithExpiry, _):
            return try readText(&reader, then: next(of: 2), into: &sink)
        case (.hashWithExpiry, _):
            return try readText(&reader, then: next(of: 3), into: &sink)
        case (.setIntset, _), (.zsetZiplist, _), (.hashZiplist, _), (.hashListpack, _), (.zsetListpack, _),
            (.setListpack, _), (.listZiplists, _):
            guard try readPacked(&reader, into: &sink) else { return false }
            stage = next(of: 1)
        default:
            return try readText(&reader, then: next(of: 1), into: &sink)
        }
        return true
    }

    private mutating func readText(
        _ reader: inout ByteReader, then next: Stage, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        guard let head = try reader.readStringHead() else { return false }
        switch head {
        case .integer(let value):
            sink.value(.integerElement(value), stream: stream)
        case .raw(let count) where count <= Self.pieceBytes:
            guard let text = reader.readSpan(count) else {
                reader.rewind(to: start)
                return false
            }
            sink.value(.element(text), stream: stream)
        case .raw(let count):
            sink.value(.elementBegan(byteCount: count), stream: stream)
            longTextBytesLeft = count
        case .compressed(let count, let uncompressedCount)
        where count <= Self.pieceBytes && uncompressedCount <= Self.pieceBytes:
            let body = reader.offset
            guard let packed = reader.readSpan(count) else {
                reader.rewind(to: start)
                return false
            }
            scratch.removeAll()
            do throws(WireError) {
                try LZF.decompress(packed, uncompressedCount: uncompressedCount, into: &scratch)
            } catch {
                throw error.shifted(by: body)
            }
            sink.value(.element(scratch.bytes), stream: stream)
        case .compressed(let count, let uncompressedCount):
            do throws(WireError) {
                longCompressed = try LZFDecoder(compressedCount: count, uncompressedCount: uncompressedCount)
            } catch {
                throw error.shifted(by: start)
            }
            sink.value(.elementBegan(byteCount: uncompressedCount), stream: stream)
        }
        stage = next
        return true
    }

    // MARK: Elements inside one string

    /// One string that holds a whole listpack, ziplist or intset.
    private mutating func readPacked(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        let (type, stream) = (type, stream)
        let complete = try reader.readInlineString(scratch: &scratch) { (bytes) throws(WireError) in
            do throws(WireError) {
                try Self.emitPacked(bytes, type: type, stream: stream, into: &sink)
            } catch {
                throw error.placed(at: start)
            }
        }
        if !complete { reader.rewind(to: start) }
        return complete
    }

    private static func emitPacked(
        _ bytes: RawSpan, type: RDBType, stream: ChunkStreamID, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) {
        let scoresFollow = type == .zsetListpack || type == .zsetZiplist
        var isScore = false
        var count = 0
        func emit(_ element: consuming ListpackElement, into sink: inout some FlowSink & ~Copyable) throws(WireError) {
            switch element {
            case .integer(let value):
                sink.value(isScore ? .score(Double(value)) : .integerElement(value), stream: stream)
            case .string(let text):
                if isScore {
                    guard let score = parseScore(text) else {
                        throw .malformed("a zset score is not a number", offset: 0)
                    }
                    sink.value(.score(score), stream: stream)
                } else {
                    sink.value(.element(text), stream: stream)
                }
            }
            if scoresFollow { isScore.toggle() }
            count += 1
        }
        switch type {
        case .setIntset:
            var integers = try IntsetReader(bytes)
            while let value = integers.next() { sink.value(.integerElement(value), stream: stream) }
        case .zsetZiplist, .hashZiplist, .listZiplists:
            var elements = try ZiplistReader(bytes)
            while let element = try elements.next() { try emit(element, into: &sink) }
        default:
            var elements = try ListpackReader(bytes)
            while let element = try elements.next() { try emit(element, into: &sink) }
        }
        let isOfPairs = scoresFollow || type == .hashListpack || type == .hashZiplist
        guard !isOfPairs || count % 2 == 0 else { throw .malformed("a hash or zset with half a pair", offset: 0) }
    }

    private mutating func readListNode(
        _ reader: inout ByteReader, container: ListContainer, left: UInt64, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        switch container {
        case .plain:
            return try readText(&reader, then: .listNodes(left - 1), into: &sink)
        case .packed:
            guard try readPacked(&reader, into: &sink) else { return false }
            stage = .listNodes(left - 1)
            return true
        }
    }

    private mutating func readStreamNode(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        guard let head = try reader.readStringHead() else { return false }
        guard head == .raw(count: 16) else { throw .malformed("a stream node's id is not 16 bytes", offset: start) }
        guard let id = StreamID(readBigEndian: &reader) else {
            reader.rewind(to: start)
            return false
        }
        let stream = stream
        let complete = try reader.readInlineString(scratch: &scratch) { (bytes) throws(WireError) in
            sink.value(.streamNode(id, listpack: bytes), stream: stream)
        }
        if !complete { reader.rewind(to: start) }
        return complete
    }
}

/// How a node of a list holds its elements.
enum ListContainer: UInt64 {
    /// The node's string is one element.
    case plain = 1
    /// The node's string is a listpack of elements.
    case packed = 2
}

extension ByteReader {
    /// The container of a list's node.
    mutating func readListContainer() throws(WireError) -> ListContainer? {
        let start = offset
        guard let code = try readLength() else { return nil }
        guard let container = ListContainer(rawValue: code) else {
            throw .unsupported("list container", code: code, offset: start)
        }
        return container
    }

    /// The expiry of a member: `.some(nil)` is "does not expire", `nil` that bytes are missing.
    fileprivate mutating func readMemberExpiry(scratch: inout ByteBuffer) throws(WireError) -> Int64?? {
        let start = offset
        var seconds: Int64?
        let complete = try readInlineString(scratch: &scratch) { (text) throws(WireError) in
            seconds = parseInteger(text)
        }
        guard complete else { return nil }
        guard let seconds, seconds >= -1, seconds < 1 << 40 else {
            throw .malformed("a member's expiry is not a number of seconds", offset: start)
        }
        return .some(seconds == -1 ? nil : (seconds + ValueDecoder.memberExpiryBase) * 1000)
    }

    /// A score of type 3: one length byte (253 nan, 254 +inf, 255 -inf), then decimal text.
    fileprivate mutating func readTextDouble() throws(WireError) -> Double? {
        let start = offset
        guard let count = readUInt8() else { return nil }
        switch count {
        case 253: throw .malformed("a zset score is not a number", offset: start)
        case 254: return .infinity
        case 255: return -.infinity
        default:
            guard let text = readSpan(Int(count)) else {
                rewind(to: start)
                return nil
            }
            guard let score = parseScore(text) else { throw .malformed("a zset score is not a number", offset: start) }
            return score
        }
    }
}

/// The integer that `text` spells in canonical or padded decimal; `nil` when it spells none.
package func parseInteger(_ text: RawSpan) -> Int64? {
    guard text.byteCount > 0, text.byteCount <= 20 else { return nil }
    var reader = ByteReader(text)
    var isNegative = false
    if reader.peekUInt8() == UInt8(ascii: "-") {
        isNegative = true
        _ = reader.skip(1)
        guard reader.remaining > 0 else { return nil }
    }
    var value: Int64 = 0
    while let byte = reader.readUInt8() {
        guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
        let digit = Int64(byte - UInt8(ascii: "0"))
        let (product, over) = value.multipliedReportingOverflow(by: 10)
        let (sum, overflow) =
            isNegative ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
        guard !over, !overflow else { return nil }
        value = sum
    }
    return value
}

/// The score that `text` spells, infinities included; `nil` when it is not a number.
package func parseScore(_ text: RawSpan) -> Double? {
    guard text.byteCount > 0, text.byteCount <= 400 else { return nil }
    let string = text.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    guard let score = Double(string), !score.isNaN else { return nil }
    return score
}
