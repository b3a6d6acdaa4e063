import Base
import Testing
import Wire

/// Values of more than `FlowDecoder.wholeValueBytes` come in parts: the same elements, out of a bounded window.
@Suite struct `Large values` {
    /// What may wait in the window: a value that may still be handed over whole, or an element, and a piece.
    private static let windowLimit = 512 << 10

    /// Feeds one entry in odd pieces.
    ///
    /// - Parameter pieces: what its elements are.
    private func expectInParts(
        _ type: RDBType, _ pieces: [FlowRecorder.Piece], feedings: [Feeding] = [.pieces(of: 65_521)],
        sourceLocation: SourceLocation = #_sourceLocation, _ body: (inout ByteBuffer) -> Void
    ) {
        let entry = written {
            $0.append(hex("fe 02 fc 00 38 d3 60 ba 01 00 00").span.bytes)
            $0.append(type.rawValue)
            $0.append(rdbString: Array("large".utf8).span.bytes)
            body(&$0)
            $0.append(hex("00 01 6b 01 76").span.bytes)
        }
        #expect(entry.count > FlowDecoder.wholeValueBytes, sourceLocation: sourceLocation)
        let head = EntryHead(database: 2, expiryMilliseconds: 1_900_000_000_000, type: type)
        let expected: [FlowRecorder.Item] =
            [
                .value(head, key: Array("large".utf8), pieces), value(.string, "k", texts("v"), database: 2),
            ] + flowEndItems
        for feeding in feedings + [.whole, .random(seed: 4, upTo: 200_000)] {
            let outcome = feedFlow(flow(entry), feeding)
            #expect(outcome.error == nil, "\(feeding)", sourceLocation: sourceLocation)
            #expect(outcome.misuse == nil, "\(feeding)", sourceLocation: sourceLocation)
            #expect(outcome.partedValues == 1 && outcome.wholeValues == 1, "\(feeding)", sourceLocation: sourceLocation)
            #expect(outcome.unconsumed == 0, "\(feeding)", sourceLocation: sourceLocation)
            #expect(outcome.greatestRemainder <= Self.windowLimit, "\(feeding)", sourceLocation: sourceLocation)
            if outcome.items != expected { Issue.record("other items, \(feeding)", sourceLocation: sourceLocation) }
        }
        let paused = feedFlow(flow(entry), .pieces(of: 65_521), pausingAfter: 1)
        if paused.items != expected { Issue.record("other items when paused", sourceLocation: sourceLocation) }
    }

    /// Elements of all the lengths that matter: short, of one piece, of more than one piece.
    private func elements(_ count: Int, seed: UInt64) -> [[UInt8]] {
        var random = SplitMix64(seed: seed)
        let lengths = [0, 1, 63, 64, 16383, 16384, ValueDecoder.pieceBytes, ValueDecoder.pieceBytes + 1, 150_000]
        return (0..<count).map { index in
            let byte = UInt8.random(in: 65...90, using: &random)
            return [UInt8](repeating: byte, count: lengths[index % lengths.count]) + Array("\(index)x".utf8)
        }
    }

    @Test func `A string of 32 MiB is read in parts`() {
        let text = [UInt8](repeating: 0x61, count: 32 << 20)
        expectInParts(.string, [.bytes(text)]) { $0.append(rdbString: text.span.bytes) }
    }

    @Test func `A compressed string of 8 MiB is read in parts`() {
        let (packed, text) = lzfSample(textBytes: 8 << 20)
        #expect(packed.count > FlowDecoder.wholeValueBytes)
        for type in [RDBType.string, .json] {
            expectInParts(type, [.bytes(text)], feedings: [.pieces(of: 4093)]) { $0.append(lzf: packed, text.count) }
        }
    }

    @Test func `A small compressed string is read whole even if it expands to 4 MiB`() {
        let (packed, text) = lzfSample(textBytes: 4 << 20, runs: 30_000)
        #expect(packed.count < FlowDecoder.wholeValueBytes)
        let entry = written {
            $0.append(hex("00 01 6b").span.bytes)
            $0.append(lzf: packed, text.count)
        }
        let outcome = feedFlow(flow(entry), .pieces(of: 1021), pausingAfter: 1)
        #expect(
            outcome.items == [
                .value(.init(database: 0, expiryMilliseconds: nil, type: .string), key: [0x6B], [.bytes(text)])
            ] + flowEndItems)
        #expect(outcome.greatestRemainder <= 2048)
    }

    @Test func `A JSON text of 1 MiB is read in parts`() {
        let text = [UInt8](repeating: 0x20, count: 1 << 20)
        expectInParts(.json, [.bytes(text)]) { $0.append(rdbString: text.span.bytes) }
    }

    @Test func `A hash with fields and values of any length is read in parts`() {
        let elements = elements(128, seed: 1)
        expectInParts(.hash, elements.map { .bytes($0) }) { buffer in
            buffer.append(rdbLength: elements.count / 2)
            for element in elements { buffer.append(rdbString: element.span.bytes) }
        }
    }

    @Test func `A hash of 32 MB of short fields is read in parts`() {
        let count = 320_000
        let text = [UInt8](repeating: 0x76, count: 92)
        var pieces: [FlowRecorder.Piece] = []
        for index in 0..<count { pieces += [.text("\(index)"), .bytes(text)] }
        expectInParts(.hash, pieces) { buffer in
            buffer.append(rdbLength: count)
            for index in 0..<count {
                buffer.append(rdbCanonicalString: Array("\(index)".utf8).span.bytes)
                buffer.append(rdbString: text.span.bytes)
            }
        }
    }

    @Test func `A set is read in parts, with or without members that expire`() {
        let elements = elements(40, seed: 2)
        expectInParts(.set, elements.map { .bytes($0) }) { buffer in
            buffer.append(rdbLength: elements.count)
            for element in elements { buffer.append(rdbString: element.span.bytes) }
        }
        let pieces = elements.enumerated().flatMap { index, element -> [FlowRecorder.Piece] in
            [.bytes(element), .expiry(index % 3 == 0 ? nil : (1_675_209_600 + Int64(index)) * 1000)]
        }
        expectInParts(.setWithExpiry, pieces) { buffer in
            buffer.append(rdbLength: elements.count)
            for (index, element) in elements.enumerated() {
                let text = Array((index % 3 == 0 ? "-1" : "\(index)").utf8)
                buffer.append(rdbString: element.span.bytes)
                buffer.append(rdbCanonicalString: text.span.bytes)
            }
        }
    }

    @Test func `A hash whose fields expire is read in parts`() {
        let elements = elements(60, seed: 3)
        var pieces: [FlowRecorder.Piece] = []
        for index in 0..<30 {
            pieces += [.bytes(elements[index * 2]), .bytes(elements[index * 2 + 1])]
            pieces.append(.expiry((1_675_209_600 + 100_000 + Int64(index)) * 1000))
        }
        expectInParts(.hashWithExpiry, pieces) { buffer in
            buffer.append(rdbLength: 30)
            for index in 0..<30 {
                let (field, value) = (elements[index * 2], elements[index * 2 + 1])
                buffer.append(rdbString: field.span.bytes)
                buffer.append(rdbString: value.span.bytes)
                // as text, which no master writes but the format allows
                buffer.append(rdbString: Array("\(100_000 + index)".utf8).span.bytes)
            }
        }
    }

    @Test func `A sorted set is read in parts`() {
        var pieces: [FlowRecorder.Piece] = []
        let scores = [0.1, -0.0, .infinity, -.infinity, Double.leastNonzeroMagnitude, 1.7976931348623157e308]
        for index in 0..<20_000 { pieces += [.text("member \(index)"), .number(scores[index % scores.count])] }
        expectInParts(.zset, pieces, feedings: [.pieces(of: 13)]) { buffer in
            buffer.append(rdbLength: 20_000)
            for index in 0..<20_000 {
                buffer.append(rdbString: Array("member \(index)".utf8).span.bytes)
                buffer.append(littleEndian: scores[index % scores.count].bitPattern)
            }
        }
    }

    @Test func `A list of plain, packed and compressed nodes is read in parts`() {
        let (packed, text) = lzfSample(textBytes: 300_000)
        var pieces: [FlowRecorder.Piece] = []
        for index in 0..<40 {
            pieces += [.text("a"), .text("b"), .text("1000")]
            pieces += [.bytes([UInt8](repeating: 0x70, count: 20_000 * (index % 5))), .bytes(text)]
        }
        expectInParts(.list, pieces) { buffer in
            buffer.append(rdbLength: 120)
            for index in 0..<40 {
                buffer.append(hex("02 10 10 00 00 00 03 00 81 61 02 81 62 02 c3 e8 02 ff").span.bytes)
                buffer.append(1)
                buffer.append(rdbString: [UInt8](repeating: 0x70, count: 20_000 * (index % 5)).span.bytes)
                buffer.append(1)
                buffer.append(lzf: packed, text.count)
            }
        }
    }

    @Test(arguments: [RDBType.stream1, .stream2, .stream3])
    func `A stream with groups and pending entries is read in parts`(
        type: RDBType
    ) {
        expectInParts(type, LargeStream.pieces(type), feedings: [.pieces(of: 101)]) {
            LargeStream.append(type, to: &$0)
        }
    }

    @Test func `A stream written without active times equals the older type byte for byte`() throws {
        let (new, old) = (
            written { LargeStream.append(.stream3, to: &$0) }, written { LargeStream.append(.stream2, to: &$0) }
        )
        var buffer = ByteBuffer()
        buffer.append("before")
        try buffer.append(streamWithoutActiveTimes: new.span.bytes)
        #expect(buffer.array == Array("before".utf8) + old)
    }

    @Test func `A malformed stream is not written at all`() {
        let stream = hex(sampleStreamText)
        let body = Array(stream[3...])
        feedHostileBytes(body, mutations: 2000) { (bytes) throws(WireError) in
            var buffer = ByteBuffer()
            buffer.append("before")
            do throws(WireError) {
                try buffer.append(streamWithoutActiveTimes: bytes.span.bytes)
            } catch {
                #expect(buffer.array == Array("before".utf8))
                throw error
            }
            return true
        }
        for count in 0..<body.count {
            #expect(throws: WireError.malformed("a stream's value is truncated", offset: count)) {
                var buffer = ByteBuffer()
                let cut = Array(body[..<count])
                try buffer.append(streamWithoutActiveTimes: cut.span.bytes)
            }
        }
        #expect(throws: WireError.malformed("bytes after the end of a stream", offset: body.count)) {
            var buffer = ByteBuffer()
            let longer = body + [0]
            try buffer.append(streamWithoutActiveTimes: longer.span.bytes)
        }
    }

    @Test func `A bloom filter of many pieces is skipped`() {
        expectInParts(.bloomFilterChunked, []) { buffer in
            buffer.append(hex("00 0000000000000040 7b14ae47e17a743f 00 01 2e 02").span.bytes)
            for _ in 0..<2 {
                buffer.append(hex("08 80 00 0a 00 00").span.bytes)  // 655,360 bytes
                for _ in 0..<10 { buffer.append(rdbString: [UInt8](repeating: 7, count: 65_536).span.bytes) }
            }
        }
    }
}

/// A stream of 300 nodes with 3 groups.
private enum LargeStream {
    private static let node = [UInt8](repeating: 0x6E, count: 2000)

    static func pieces(_ type: RDBType) -> [FlowRecorder.Piece] {
        func id(_ number: Int) -> StreamID { StreamID(milliseconds: UInt64(number), sequence: .max) }
        var pieces: [FlowRecorder.Piece] = (0..<300).map { .node(id($0), node) }
        var info = StreamInfo(length: 70_000, lastID: StreamID(milliseconds: 300, sequence: 1 << 40))
        if type != .stream1 {
            info.maxDeletedID = StreamID(milliseconds: 5, sequence: 6)
            info.entriesAdded = 80_000
        }
        pieces.append(.info(info))
        for group in 0..<3 {
            let read: UInt64? = type == .stream1 || group == 2 ? nil : UInt64(group)
            pieces.append(
                .group(
                    Array("group \(group)".utf8),
                    StreamGroupInfo(lastID: .init(milliseconds: 7, sequence: 8), entriesRead: read)))
            for number in 0..<500 {
                pieces.append(
                    .pending(
                        .init(
                            id: id(number), deliveryTimeMilliseconds: Int64(number) << 20, deliveryCount: UInt64(number)
                        )))
            }
            for consumer in 0..<2 {
                pieces.append(.consumer(Array("consumer \(consumer)".utf8), 250))
                for number in 0..<250 { pieces.append(.consumerPending(id(number * 2 + consumer))) }
            }
        }
        return pieces
    }

    static func append(_ type: RDBType, to buffer: inout ByteBuffer) {
        func append(_ numbers: UInt64...) { for number in numbers { buffer.append(rdbLength: UInt64(number)) } }
        func appendID(_ number: Int) {
            StreamID(milliseconds: UInt64(number), sequence: .max).append(bigEndianTo: &buffer)
        }
        append(300)
        for number in 0..<300 {
            append(16)
            appendID(number)
            buffer.append(rdbString: node.span.bytes)
        }
        append(70_000, 300, 1 << 40)
        if type != .stream1 { append(0, 1, 5, 6, 80_000) }
        append(3)
        for group in 0..<3 {
            buffer.append(rdbString: Array("group \(group)".utf8).span.bytes)
            append(7, 8)
            if type != .stream1 { append(group == 2 ? .max : UInt64(group)) }
            append(500)
            for number in 0..<500 {
                appendID(number)
                buffer.append(littleEndian: Int64(number) << 20)
                append(UInt64(number))
            }
            append(2)
            for consumer in 0..<2 {
                buffer.append(rdbString: Array("consumer \(consumer)".utf8).span.bytes)
                buffer.append(littleEndian: Int64(111))
                if type == .stream3 { buffer.append(littleEndian: Int64(222)) }
                append(250)
                for number in 0..<250 { appendID(number * 2 + consumer) }
            }
        }
    }
}

/// LZF bytes of literals and long copies, and their text.
private func lzfSample(textBytes: Int, runs: Int = 0) -> (packed: [UInt8], text: [UInt8]) {
    var random = SplitMix64(seed: 9)
    var packed: [UInt8] = []
    var text: [UInt8] = []
    text.reserveCapacity(textBytes)
    while text.count < textBytes {
        let left = textBytes - text.count
        if text.count >= 300, left > 300, runs > 0 || random.next() % 2 == 0 {
            let distance = runs > 0 ? 1 : Int.random(in: 270...300, using: &random)
            let length = runs > 0 ? 264 : Int.random(in: 9...264, using: &random)
            packed += [UInt8(0xE0 | (distance - 1) >> 8), UInt8(length - 9), UInt8((distance - 1) & 0xFF)]
            for _ in 0..<length { text.append(text[text.count - distance]) }
        } else {
            let literal = random.bytes(min(32, left))
            packed += [UInt8(literal.count - 1)] + literal
            text += literal
        }
    }
    return (packed, text)
}

extension ByteBuffer {
    /// Appends an LZF string.
    fileprivate mutating func append(lzf packed: [UInt8], _ textBytes: Int) {
        append(0xC3)
        append(rdbLength: packed.count)
        append(rdbLength: textBytes)
        append(packed.span.bytes)
    }
}
