import Testing
import Wire

/// A flow with `entries` between its head and its end, and `journal` after the token.
func flow(_ entries: [UInt8], end: [UInt8] = flowEnd, journal: [UInt8] = []) -> [UInt8] {
    Array("REDIS0009".utf8) + entries + end + journal
}

/// FULLSYNC_END, JOURNAL_OFFSET 15, EOF and the token.
let flowEnd =
    hex("c8 00 00 00 00 00 00 00 00 | d3 0f 00 00 00 00 00 00 00 | ff 00 00 00 00 00 00 00 00") + sampleToken

/// What is after the entries in the items of `flow(entries)`.
let flowEndItems: [FlowRecorder.Item] = [.completed, .offset(15), .stable]

let closeFeedings: [Feeding] = [.pieces(of: 1), .pieces(of: 3), .random(seed: 1, upTo: 40)]

func value(
    _ type: RDBType, _ key: String, _ pieces: [FlowRecorder.Piece], database: UInt32 = 0, expiry: Int64? = nil,
    isSticky: Bool = false
) -> FlowRecorder.Item {
    .value(
        EntryHead(database: database, expiryMilliseconds: expiry, type: type, isSticky: isSticky), key: Array(key.utf8),
        pieces)
}

func texts(_ texts: String...) -> [FlowRecorder.Piece] { texts.map { .text($0) } }

@Suite struct `The flow decoder reads the vectors of Protocol 10` {
    private func expect(
        _ entries: String, _ items: [FlowRecorder.Item], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let outcome = expectSameHoweverFed(flow(hex(entries)), closeFeedings, sourceLocation: sourceLocation)
        #expect(outcome.items == items + flowEndItems, sourceLocation: sourceLocation)
        #expect(outcome.error == nil, sourceLocation: sourceLocation)
        #expect(outcome.phase == .journal, sourceLocation: sourceLocation)
        #expect(outcome.unconsumed == 0, sourceLocation: sourceLocation)
    }

    @Test func `V9, a journal record in the snapshot does not change the database of later entries`() {
        expect(
            "fe 02 | d2 01 0f 06 00 0a 00 01 03 05 03 53 45 54 01 6b 01 76 | 00 01 6b 01 76",
            [
                .command(
                    [Array("SET".utf8), Array("k".utf8), Array("v".utf8)], database: 0, isExpired: false,
                    inSnapshot: true),
                value(.string, "k", texts("v"), database: 2),
            ])
    }

    @Test func `V10, strings and keys may be encoded as numbers`() {
        expect(
            "00 c0 0c c0 f9 | 00 03 6e 75 6d c1 39 30",
            [value(.string, "12", texts("-7")), value(.string, "num", texts("12345"))])
    }

    @Test func `V11, expiry and attributes belong to the next key alone`() {
        expect(
            "fc 00 38 d3 60 ba 01 00 00 | dc 03 00 00 00 4d 00 00 00 | 00 01 6b 01 76 | 00 01 6c 01 77",
            [
                value(.string, "k", texts("v"), expiry: 1_900_000_000_000, isSticky: true),
                value(.string, "l", texts("w")),
            ])
        expect("dc 02 00 00 00 4d 00 00 00 | 00 02 6d 6b 01 76", [value(.string, "mk", texts("v"))])
        expect("fd 00 00 00 80 | 00 01 6b 01 76", [value(.string, "k", texts("v"), expiry: -2_147_483_648_000)])
    }

    @Test func `V12 to V14, an intset, a hash and a sorted set in listpacks`() {
        expect(
            "0b 04 69 73 65 74 0e 02 00 00 00 03 00 00 00 01 00 02 00 2c 01",
            [value(.setIntset, "iset", texts("1", "2", "300"))])
        expect(
            "10 01 68 15 15 00 00 00 04 00 82 66 31 03 82 76 31 03 82 66 32 03 02 01 ff",
            [value(.hashListpack, "h", texts("f1", "v1", "f2", "2"))])
        expect(
            "11 01 7a 14 14 00 00 00 04 00 81 61 02 83 31 2e 35 04 81 62 02 02 01 ff",
            [value(.zsetListpack, "z", [.text("a"), .number(1.5), .text("b"), .number(2)])])
    }

    @Test func `V15, a list`() {
        expect(
            "12 01 6c 01 02 10 10 00 00 00 03 00 81 61 02 81 62 02 c3 e8 02 ff",
            [value(.list, "l", texts("a", "b", "1000"))])
    }

    @Test func `V16 and V17, members with an expiry`() {
        expect(
            "1f 03 68 65 78 02 01 66 01 76 c2 2e e1 29 07 01 67 01 77 c0 ff",
            [
                value(
                    .hashWithExpiry, "hex",
                    [.text("f"), .text("v"), .expiry(1_795_394_734_000), .text("g"), .text("w"), .expiry(nil)])
            ])
        expect(
            "20 05 73 65 74 65 78 02 02 6d 32 c0 ff 02 6d 31 c2 2e e1 29 07",
            [
                value(
                    .setWithExpiry, "setex", [.text("m2"), .expiry(nil), .text("m1"), .expiry(1_795_394_734_000)])
            ])
    }

    @Test func `V18, a stream with a group`() {
        let one = StreamID(milliseconds: 1, sequence: 1)
        let node = hex(
            """
            3e 00 00 00 19 00 02 01 01 01 02 01 81 61 02 81 62 02 00 01 02 01 00 01 00 01 01 01 02 01 05 01
            03 01 00 01 04 01 03 01 04 01 05 01 00 01 01 01 df ff 02 01 01 81 63 02 81 78 02 06 01 ff
            """)
        expect(
            sampleStreamText,
            [
                value(
                    .stream3, "s",
                    [
                        .node(one, node),
                        .info(
                            StreamInfo(
                                length: 2, lastID: .init(milliseconds: 2, sequence: 0),
                                maxDeletedID: .init(milliseconds: 1, sequence: 5), entriesAdded: 3)),
                        .group(Array("g".utf8), StreamGroupInfo(lastID: one, entriesRead: nil)),
                        .pending(.init(id: one, deliveryTimeMilliseconds: 0x01A2_05CE_4608, deliveryCount: 1)),
                        .consumer(Array("c1".utf8), 1), .consumerPending(one),
                    ])
            ])
    }

    @Test func `V19, a bloom filter, which no Redis can take, is skipped`() {
        let filter = "21 02 62 66 00 0000000000000040 7b14ae47e17a743f 00 01 2e 01 08 40 40"
        expect(
            filter + String(repeating: "a5", count: 64) + "00 01 6b 01 76",
            [value(.bloomFilter, "bf", []), value(.string, "k", texts("v"))])
    }

    @Test func `V20, the bytes after the token are the journal`() {
        let journal = hex(
            "06 03 0a 00 01 03 05 03 53 45 54 01 6b 01 76 0f 0f 06 00 09 00 01 02 04 03 44 45 4c 01 6b 0d")
        let outcome = expectSameHoweverFed(flow([], journal: journal), closeFeedings)
        let expected: [FlowRecorder.Item] = [
            .command(
                [Array("SET".utf8), Array("k".utf8), Array("v".utf8)], database: 3, isExpired: false, inSnapshot: false),
            .lsn(15),
            .command([Array("DEL".utf8), Array("k".utf8)], database: 0, isExpired: true, inSnapshot: false),
            .ping(inSnapshot: false),
        ]
        #expect(outcome.items == flowEndItems + expected)
        let partial = expectSameHoweverFed(journal, token: nil, closeFeedings)
        #expect(partial.items == expected)
        #expect(partial.error == nil)
    }

    @Test func `V21, a compressed blob`() {
        expect(
            """
            fe 07 | ca 27 04 22 4d 18 68 40 2c 01 00 00 00 00 00 00 84
            10 00 00 00 | 5f 00 01 6b 01 76 05 00 ff 10 50 00 01 6b 01 76 | 00 00 00 00 | 00 01 6c 01 77
            """,
            Array(repeating: value(.string, "k", texts("v"), database: 7), count: 60)
                + [value(.string, "l", texts("w"), database: 7)])
    }

    @Test func `V23, a value in tagged chunks`() {
        expect(
            "e0 07 00 00 00 08 00 00 00 | 02 01 73 03 01 61 01 62 | e0 07 00 00 00 02 00 00 00 | 01 63",
            [value(.set, "s", texts("a", "b", "c"))])
    }

    @Test func `Types of older and newer masters are read too`() {
        // a sorted set with scores as text: 1.5, infinite, infinite
        expect(
            "03 01 7a 03 | 01 61 03 31 2e 35 | 01 62 fe | 01 63 ff",
            [
                value(
                    .zsetText, "z",
                    [.text("a"), .number(1.5), .text("b"), .number(.infinity), .text("c"), .number(-.infinity)])
            ])
        // a list of one ziplist: "a", 5
        expect(
            "0e 01 6c 01 10 | 10000000 0d000000 0200 | 00 01 61 | 03 f6 | ff",
            [value(.listZiplists, "l", texts("a", "5"))])
        expect(
            "14 01 73 0c | 0c000000 0200 | 81 61 02 | 05 01 | ff", [value(.setListpack, "s", texts("a", "5"))])
        // count-min sketch 2 × 1, top-k with one item, cuckoo filter of one piece, bloom filter whose pieces are 5 and "7"
        expect(
            """
            23 01 61 02 01 09 | 0100000000000000 0200000000000000
            24 01 62 00 01 01 01 cdccccccccccec3f 01 | 01 78 05 | 04 05000000
            25 01 63 01 02 03 04 05 06 01 | 03 02 ab cd 01 ef
            22 01 64 00 0000000000000040 7b14ae47e17a743f 00 01 2e 01 | 08 06 | 05 6162636465 | c0 07
            00 01 6b 01 76
            """,
            [
                value(.countMinSketch, "a", []), value(.topK, "b", []), value(.cuckooFilter, "c", []),
                value(.bloomFilterChunked, "d", []), value(.string, "k", texts("v")),
            ])
    }

    @Test func `Opcodes that do not concern the data are skipped`() {
        expect(
            "fb 40 ff 02 | f9 05 | f8 80 00 01 00 00 | f4 01 02 03 | 00 01 6b 01 76", [value(.string, "k", texts("v"))])
    }
}

/// Protocol V18: key `s` with its type in front.
let sampleStreamText = """
    15 01 73 01 | 10 0000000000000001 0000000000000001 | 3e 3e 00 00 00 19 00
    02 01 01 01 02 01 81 61 02 81 62 02 00 01 02 01 00 01 00 01 01 01 02 01 05 01
    03 01 00 01 04 01 03 01 04 01 05 01 00 01 01 01 df ff 02 01 01 81 63 02 81 78 02 06 01 ff
    02 | 02 00 | 01 01 | 01 05 | 03 | 01 01 67 01 01 81 ffffffffffffffff
    01 0000000000000001 0000000000000001 0846ce05a2010000 01
    01 02 63 31 0846ce05a2010000 0846ce05a2010000 | 01 0000000000000001 0000000000000001
    """
