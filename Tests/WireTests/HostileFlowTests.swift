import Testing
import Wire

/// Cuts and mutates a flow: nothing may trap, errors lie within the bytes, and however the bytes are fed the outcome is
/// the same.
func feedHostileFlow(
    _ sample: [UInt8], token: [UInt8]? = sampleToken, mutations: Int = 10_000,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    var round = 0
    feedHostileBytes(sample, mutations: mutations, sourceLocation: sourceLocation) { (bytes) throws(WireError) in
        let whole = feedFlow(bytes, token: token)
        if bytes.count <= sample.count, bytes.elementsEqual(sample.prefix(bytes.count)) {
            #expect(whole.error == nil, "cut at \(bytes.count)", sourceLocation: sourceLocation)
        }
        round += 1
        if round % 16 == 0 {
            let parts = feedFlow(bytes, .random(seed: UInt64(round), upTo: 50), token: token, pausingAfter: 2)
            #expect(parts.items == whole.items, "\(bytes)", sourceLocation: sourceLocation)
            #expect(parts.error == whole.error, "\(bytes)", sourceLocation: sourceLocation)
        }
        guard let error = whole.error else { return whole.unconsumed == 0 }
        #expect(error.flowOffset <= UInt64(bytes.count), "\(error)", sourceLocation: sourceLocation)
        if !error.isInsideBlob { throw error.cause }
        return false
    }
}

@Suite struct `Hostile flows` {
    /// Each kind of unit once.
    private static let sample: [UInt8] = {
        let values = hex(
            """
            fa 06 64 66 2d 76 65 72 02 76 31 | fe 02 | fc 00 38 d3 60 ba 01 00 00 | dc 03 00 00 00 4d 00 00 00
            00 01 6b 01 76 | 00 c0 0c c0 f9 | 00 03 6e 75 6d c1 39 30
            00 01 6b c3 05 0b 00 61 e0 01 00 | 1e 01 6a 02 7b 7d
            0b 04 69 73 65 74 0e 02 00 00 00 03 00 00 00 01 00 02 00 2c 01
            10 01 68 15 15 00 00 00 04 00 82 66 31 03 82 76 31 03 82 66 32 03 02 01 ff
            11 01 7a 14 14 00 00 00 04 00 81 61 02 83 31 2e 35 04 81 62 02 02 01 ff
            12 01 6c 02 02 10 10 00 00 00 03 00 81 61 02 81 62 02 c3 e8 02 ff 01 01 71
            02 01 73 02 01 61 01 62 | 04 01 68 01 01 66 01 76 | 05 01 7a 01 01 6d 000000000000f03f
            1f 03 68 65 78 02 01 66 01 76 c2 2e e1 29 07 01 67 01 77 c0 ff
            20 05 73 65 74 65 78 02 02 6d 32 c0 ff 02 6d 31 c2 2e e1 29 07
            d2 01 0f 06 00 0a 00 01 03 05 03 53 45 54 01 6b 01 76
            e0 07 00 00 00 08 00 00 00 | 02 01 73 03 01 61 01 62 | e0 07 00 00 00 02 00 00 00 | 01 63
            23 01 61 02 01 09 | 0100000000000000 0200000000000000
            24 01 62 00 01 01 01 cdccccccccccec3f 01 | 01 78 05 | 04 05000000
            25 01 63 01 02 03 04 05 06 01 | 03 02 ab cd 01 ef
            22 01 64 00 0000000000000040 7b14ae47e17a743f 00 01 2e 01 | 08 06 | 05 6162636465 | c0 07
            ca 27 04 22 4d 18 68 40 2c 01 00 00 00 00 00 00 84
            10 00 00 00 | 5f 00 01 6b 01 76 05 00 ff 10 50 00 01 6b 01 76 | 00 00 00 00
            """)
        let journal = hex(
            "06 03 0a 00 01 03 05 03 53 45 54 01 6b 01 76 0f 0f 06 00 09 00 01 02 04 03 44 45 4c 01 6b 0d")
        return flow(values + hex(sampleStreamText), journal: journal)
    }()

    @Test func `A flow of every kind of unit never traps, cut or mutated`() {
        #expect(feedFlow(Self.sample).error == nil)
        feedHostileFlow(Self.sample)
    }

    @Test func `A journal never traps, cut or mutated`() {
        let journal = hex(
            "06 03 0a 00 01 03 05 03 53 45 54 01 6b 01 76 0f 0f 06 00 09 00 01 02 04 03 44 45 4c 01 6b 0d")
        feedHostileFlow(journal, token: nil)
        feedHostileFlow(journal + Array("-ERR Replicating a replica is unsupported\r\n".utf8), token: nil)
    }

    @Test(arguments: ["/foreign", "/idle", "/live-flush"]) func `A recording never traps, cut or mutated`(
        name: String
    ) throws {
        for flow in Recording(name: name).flows() { feedHostileFlow(flow.bytes, token: flow.token, mutations: 3000) }
    }

    /// Values are decoded on their own too: RESTORE payloads of the journal.
    @Test func `Each type's value never traps, cut or mutated`() {
        let bodies: [(RDBType, String)] = [
            (.string, "c3 05 0b 00 61 e0 01 00"), (.setIntset, "0e 02 00 00 00 03 00 00 00 01 00 02 00 2c 01"),
            (.hashListpack, "15 15 00 00 00 04 00 82 66 31 03 82 76 31 03 82 66 32 03 02 01 ff"),
            (.zsetListpack, "14 14 00 00 00 04 00 81 61 02 83 31 2e 35 04 81 62 02 02 01 ff"),
            (.zsetZiplist, "10 10000000 0d000000 0200 | 00 01 61 | 03 f6 | ff"),
            (.hashZiplist, "10 10000000 0d000000 0200 | 00 01 61 | 03 f6 | ff"),
            (.zsetText, "03 | 01 61 03 31 2e 35 | 01 62 fe | 01 63 ff"),
            (.listZiplists, "01 10 10000000 0d000000 0200 | 00 01 61 | 03 f6 | ff"),
        ]
        for (type, body) in bodies {
            feedHostileBytes(hex(body), mutations: 3000) { (bytes) throws(WireError) in
                var recorder = FlowRecorder()
                recorder.valueBegan(.init(database: 0, expiryMilliseconds: nil, type: type), key: RawSpan(), stream: 0)
                var decoder = ValueDecoder(type: type)
                var reader = ByteReader(bytes.span.bytes)
                return try decoder.resume(&reader, into: &recorder)
            }
        }
    }

    @Test func `A field without a value and a member without a score are malformed`() {
        for (type, bytes) in [
            (RDBType.hashListpack, "0a 0a000000 0100 81 61 02 ff"), (.zsetListpack, "0a 0a000000 0100 81 61 02 ff"),
        ] {
            let body = hex(bytes)
            #expect(throws: WireError.malformed("a hash or zset with half a pair", offset: 0)) {
                var recorder = FlowRecorder()
                var decoder = ValueDecoder(type: type)
                var reader = ByteReader(body.span.bytes)
                _ = try decoder.resume(&reader, into: &recorder)
            }
        }
    }
}
