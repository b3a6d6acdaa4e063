import Testing
import Wire

/// What a decoder refuses, with the place that it names.
@Suite struct `Flows that are refused` {
    private func expect(
        _ bytes: [UInt8], _ cause: WireError, inBlobAt blobOffset: Int? = nil, database: UInt32 = 0, key: String = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let outcome = expectSameHoweverFed(bytes, closeFeedings, sourceLocation: sourceLocation)
        let expected = (
            cause, UInt64(blobOffset ?? cause.offset), blobOffset != nil, database, key.isEmpty ? "" : "\"\(key)\""
        )
        guard let error = outcome.error else {
            Issue.record("nothing is refused", sourceLocation: sourceLocation)
            return
        }
        #expect(error.cause == expected.0, sourceLocation: sourceLocation)
        #expect(error.flowOffset == expected.1, sourceLocation: sourceLocation)
        #expect(error.isInsideBlob == expected.2, sourceLocation: sourceLocation)
        #expect(error.database == expected.3, sourceLocation: sourceLocation)
        #expect(error.lastKey == expected.4, sourceLocation: sourceLocation)
    }

    private func expect(
        _ entries: String, _ cause: WireError, database: UInt32 = 0, key: String = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        expect(flow(hex(entries)), cause, database: database, key: key, sourceLocation: sourceLocation)
    }

    private let key3 = "fe 03 | 00 01 6b 01 76"  // 7 bytes after the 9 of the header

    private func blob(_ content: [UInt8]) -> [UInt8] {
        let frame = lz4Frame(content)
        return written {
            $0.append(0xCA)
            $0.append(rdbString: frame.span.bytes)
        }
    }

    @Test func `A flow without an RDB header is refused`() {
        expect(Array("+ERR syntax error\r\n".utf8), .malformed("the flow does not begin with an RDB header", offset: 0))
    }

    private static let line = "-ERR Replicating a replica is unsupported\r\n"

    /// Feeds `stream`, an error line, whole and in every kind of pieces.
    private func expectErrorReply(behind stream: [UInt8], token: [UInt8]?) {
        let before = feedFlow(stream, token: token)
        #expect(before.error == nil)
        for text in [Self.line, "-\(String(repeating: "x", count: Limits.flowErrorBytes))\r\n"] {
            let bytes = stream + Array(text.utf8)
            let outcome = expectSameHoweverFed(bytes, token: token, closeFeedings)
            #expect(outcome.items == before.items + [.error(String(text.dropFirst().dropLast()))])
            #expect(outcome.error == nil && outcome.unconsumed == 0)
            // Wherever the line is cut, its rest is waited for.
            for cut in stream.count + 1..<bytes.count {
                let part = feedFlow(Array(bytes[..<cut]), token: token)
                #expect(part.items == before.items && part.error == nil, "cut at \(cut)")
            }
        }
    }

    @Test func `An error reply in place of an opcode, the token or a record is the master's error`() {
        expectErrorReply(behind: [], token: sampleToken)
        let header = flow([])
        expectErrorReply(behind: header, token: sampleToken)
        expectErrorReply(behind: flow(hex(key3)), token: sampleToken)
        let whole = flow(hex(key3), journal: hex("06 03 0a 00 01 03 05 03 53 45 54 01 6b 01 76"))
        expectErrorReply(behind: whole, token: sampleToken)
        let token = whole.count - 15 - sampleToken.count
        expectErrorReply(behind: Array(whole[..<token]), token: sampleToken)
        expectErrorReply(behind: hex("06 03 0a 00 01 03 05 03 53 45 54 01 6b 01 76 0f 0f"), token: nil)
    }

    @Test func `Bytes that only begin like an error reply are an unknown opcode`() {
        let refusal = WireError.unsupported("journal opcode", code: 0x2D, offset: 2)
        for text in [
            "-ERR\r\r", "-ERR\n", "-ERR\u{7F}", "-\r\n", "-E\0R\r\n", "-" + String(repeating: "x", count: 513),
        ] {
            let outcome = feedFlow(hex("06 03") + Array(text.utf8), token: nil)
            #expect(outcome.error?.cause == refusal, "\(text)")
        }
        expect(key3 + "2d 45 00", .unsupported("snapshot opcode", code: 0x2D, offset: 16), database: 3, key: "k")
    }

    @Test func `Unknown opcodes, types and bits are refused with the key before them`() {
        expect(key3 + "d9", .unsupported("snapshot opcode", code: 0xD9, offset: 16), database: 3, key: "k")
        expect("cb", .unsupported("snapshot opcode", code: 0xCB, offset: 9))
        expect("de 00", .unsupported("snapshot opcode", code: 0xDE, offset: 9))
        expect(key3 + "63 01 78", .unsupported("value type", code: 0x63, offset: 16), database: 3, key: "k")
        expect("fe 04 | 07 01 78", .unsupported("value type", code: 7, offset: 11), database: 4)
        expect("dc 04 00 00 00", .unsupported("attribute mask", code: 4, offset: 10))
        expect("00 c5", .unsupported("string encoding", code: 5, offset: 10))
        expect(
            "00 01 6b 01 76 | 12 01 6c 01 03 01 61", .unsupported("list container", code: 3, offset: 18), key: "l")
        expect("e0 01 00 00 00 05 00 00 00 | 07 01 6c 00 00", .unsupported("value type", code: 7, offset: 18))
    }

    @Test func `A broken value is refused with its own key`() {
        expect(
            "00 01 6b 01 76 | fe 05 | 03 01 7a 01 01 61 fd", .malformed("a zset score is not a number", offset: 22),
            database: 5, key: "z")
        expect(
            "00 01 6b 01 76 | 20 01 73 01 01 6d 01 78",
            .malformed("a member's expiry is not a number of seconds", offset: 20), key: "s")
        expect("00 01 6b c3 01 05 20", .malformed("truncated LZF copy", offset: 15), key: "k")
    }

    @Test func `A journal offset that no master reaches is refused`() {
        expect(
            "d3 ff ff ff ff ff ff ff ff",
            .tooLarge("journal offset", value: .max, limit: Limits.sequenceNumber, offset: 9))
        expect(
            "d3 00 00 00 00 00 00 00 40",
            .tooLarge("journal offset", value: 1 << 62, limit: Limits.sequenceNumber, offset: 9))
    }

    @Test func `A malformed end of the snapshot is refused`() {
        let completed = "c8 00 00 00 00 00 00 00 00"
        let offset = "d3 0f 00 00 00 00 00 00 00"
        let eof = "ff 00 00 00 00 00 00 00 00"
        func snapshot(_ text: String) -> [UInt8] { flow(hex(text), end: sampleToken) }
        expect(snapshot(completed + completed), .malformed("FULLSYNC_END came twice", offset: 18))
        expect(
            snapshot("c8 00 00 00 00 00 00 00 01"), .malformed("FULLSYNC_END is not followed by zeros", offset: 9))
        expect(snapshot(offset + eof), .malformed("the snapshot ends without FULLSYNC_END", offset: 18))
        expect(snapshot(completed + eof), .malformed("the snapshot ends without a JOURNAL_OFFSET", offset: 18))
        expect(
            snapshot(completed + offset + "ff 01 00 00 00 00 00 00 00"),
            .malformed("the snapshot's checksum is not zero", offset: 27))
        let wrong = Array("REDIS0009".utf8) + hex(completed + offset + eof) + [UInt8](repeating: 0x61, count: 40)
        expect(
            wrong, .malformed("the end-of-snapshot token is not the one announced for this flow", offset: 36))
    }

    @Test func `Units that may not be inside a compressed blob are refused there`() {
        let padding = [UInt8](repeating: 0, count: 0) + hex(String(repeating: "fe 02", count: 40))
        func entries(_ content: String) -> [UInt8] { hex("00 01 6b 01 76") + blob(padding + hex(content)) }
        expect(
            flow(entries("ff 00 00 00 00 00 00 00 00")),
            .malformed("the end of the snapshot is inside a compressed blob", offset: 80), inBlobAt: 14, key: "k")
        expect(
            flow(hex("00 01 6b 01 76") + blob(padding + blob(padding))),
            .malformed("a compressed blob is nested in another", offset: 80), inBlobAt: 14, key: "k")
        expect(
            flow(entries("00 01 6c 05 76")), .malformed("a compressed blob ends inside an entry", offset: 80),
            inBlobAt: 14, key: "k")
        expect(
            flow(entries("fc 00")), .malformed("a compressed blob ends inside an entry", offset: 80), inBlobAt: 14,
            key: "k")
        expect(
            flow(entries("e0 01 00 00 00 09 00 00 00 | 02 01 6c 02")),
            .malformed("a compressed blob ends inside an entry", offset: 93), inBlobAt: 14, database: 2, key: "l")
        expect(
            flow(entries("00 01 6c 01 76 | 63")), .unsupported("value type", code: 0x63, offset: 85), inBlobAt: 14,
            database: 2, key: "l")
    }

    @Test func `A value that is handed over in parts is refused if a blob cuts it`() {
        let value = written {
            $0.append(0x00)
            $0.append(rdbString: Array("l".utf8).span.bytes)
            $0.append(rdbLength: 1_000_000)
            $0.append([UInt8](repeating: 0x61, count: 500_000).span.bytes)
        }
        let outcome = feedFlow(flow(blob(value)))
        #expect(outcome.error?.cause == .malformed("a compressed blob ends inside an entry", offset: value.count))
        #expect(outcome.error?.lastKey == "\"l\"")
    }

    @Test func `A broken blob is refused`() {
        expect(flow(hex("ca 04 | 01 02 03 04")), .malformed("no LZ4 frame", offset: 11))
        expect(flow(hex("c9 04 | 01 02 03 04")), .malformed("no ZSTD frame", offset: 11))
        expect(flow(hex("ca c0 05")), .malformed("a compressed blob is not a plain string", offset: 9))
        expect(
            flow(hex("ca 80 10 00 00 00")),
            .tooLarge("compressed blob", value: 1 << 28, limit: UInt64(Limits.blobBytes), offset: 9))
    }

    @Test func `Broken tagged chunks are refused`() {
        expect("e0 00 00 00 00 08 00 00 00", .malformed("a tagged chunk without an id", offset: 9))
        expect("e0 01 00 00 00 00 00 00 00", .malformed("a tagged chunk without a payload", offset: 9))
        expect(
            "fe 02 | e0 01 00 00 00 07 00 00 00 | 02 01 73 01 01 61 00",
            .malformed("a tagged chunk goes on after the end of its value", offset: 26), database: 2, key: "s")
        expect(
            "fe 02 | e0 01 00 00 00 05 00 00 00 | 02 01 73 02 05 | fe 03",
            .malformed("a tagged chunk ends inside an element", offset: 24), database: 2, key: "s")
        expect(
            "e0 01 00 00 00 02 00 00 00 | 02 05 | fe 03",
            .malformed("a tagged chunk ends inside an element", offset: 18))
        expect(
            "e0 01 00 00 00 06 00 00 00 | 02 01 73 02 01 61",
            .malformed("a chunked value is open at FULLSYNC_END", offset: 24),
            key: "s")
    }

    @Test func `A chunk's error names the chunk's key, not the key before it`() {
        expect(
            """
            fe 01 | e0 01 00 00 00 06 00 00 00 | 02 01 73 02 01 61 | fe 02 | 00 01 6b 01 76
            e0 01 00 00 00 01 00 00 00 | c4
            """, .unsupported("string encoding", code: 4, offset: 42), database: 1, key: "s")
    }

    @Test func `More open values than the table has room for are refused`() {
        var entries: [UInt8] = []
        for id in 1...UInt32(1025) {
            entries += written {
                $0.append(0xE0)
                $0.append(littleEndian: id)
                $0.append(littleEndian: UInt32(6))
                $0.append(hex("02 01 73 02 01 61").span.bytes)
            }
        }
        let outcome = feedFlow(flow(entries))
        #expect(
            outcome.error?.cause
                == .tooLarge("open chunked values", value: 1024, limit: 1024, offset: 9 + 1024 * 15 + 9))
        #expect(outcome.openValues == 1024)
    }

    @Test func `Broken journal records in the snapshot and after it are refused`() {
        expect("d2 01 02 0f 05", .malformed("an LSN record inside the snapshot", offset: 11))
        expect("d2 00 01 0d", .malformed("a journal blob without a record", offset: 10))
        expect("d2 01 02 06 41", .malformed("a journal blob ends inside a record", offset: 11))
        let journal = hex("06 05 0a 00 01 02 04 03 44 45 4c 01 71 | 06 06 | 2d 00")
        let end = 9 + flowEnd.count
        expect(
            flow([], journal: journal), .unsupported("journal opcode", code: 0x2D, offset: end + 15), database: 6,
            key: "q")
    }

    @Test func `The message of an error is a sentence with its place`() {
        let error = feedFlow(flow(hex(key3 + "63"))).error
        #expect(
            error?.description == "unknown value type 99 (0x63), at byte 16 of the flow, database 3, last key \"k\"")
        let inBlob = feedFlow(flow(blob(hex(String(repeating: key3, count: 40) + "63")))).error
        #expect(
            inBlob?.description
                == "unknown value type 99 (0x63), at byte 280 of the compressed blob at byte 9 of the flow, database 3, last key \"k\""
        )
    }
}
