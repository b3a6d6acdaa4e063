import Base
import Testing

@testable import DragonflySimulator

/// Generated data, decoded by the daemon's decoder, is what was generated.
@Suite struct `Data sets as a master encodes them` {
    /// The flows of a data set, decoded: full sync and nothing after it.
    private func decode(
        _ dataSet: SyntheticDataSet, _ setup: MasterOptions, window: Int = .max
    ) throws -> [DecodedFlow] {
        let master = try SimulatedMaster(dataSet, options: setup)
        try master.start()
        let replica = try TestReplica.connected(to: master)
        let full = try replica.fullSyncWithoutLooking()
        try replica.leave()
        #expect(master.violations.isEmpty)
        return try zip(full, replica.answers).map { try DecodedFlow($0, token: $1.token, window: window) }
    }

    private func expectEqual(_ flows: [DecodedFlow], _ dataSet: SyntheticDataSet) {
        var entries: [DecodedFlow.Key: DecodedFlow.Entry] = [:]
        for flow in flows {
            #expect(flow.repeatedKeys == 0 && flow.endCount == 1 && flow.isStable && flow.offset == 1)
            entries.merge(flow.entries) { first, _ in
                Issue.record("a key on two flows")
                return first
            }
        }
        #expect(entries.count == dataSet.keys + dataSet.largeValues.count)
        for index in 0..<dataSet.keys {
            let expected = dataSet.entry(at: index)
            let found = entries[DecodedFlow.Key(database: expected.database, key: expected.key)]
            #expect(found == DecodedFlow.Entry(value: expected.value, expiresAt: expected.expiresAt))
        }
    }

    @Test(arguments: Compression.allCases, SyntheticDataSet.Content.allCases)
    func `every shape decodes to what was generated`(compression: Compression, content: SyntheticDataSet.Content) throws
    {
        var dataSet = SyntheticDataSet(keys: 1200, valueBytes: 300, shape: .mixed, seed: 7)
        dataSet.content = content
        dataSet.databases = 3
        dataSet.expiringShare = 0.3
        dataSet.expiringMemberShare = 0.5
        var setup = MasterOptions()
        setup.compression = compression
        setup.shardCount = 3
        let flows = try decode(dataSet, setup)
        expectEqual(flows, dataSet)
        #expect(flows[0].fields["shard-count"] == "3")
        #expect(flows.map { $0.fields["shard-id"] } == ["0", "1", "2"])
        #expect(flows.allSatisfy { $0.fields["df-ver"] == "df-v1.36.0" })
    }

    @Test(arguments: [2, 40, 2000])
    func `collections have their small and their large forms`(elements: Int) throws {
        var dataSet = SyntheticDataSet(keys: 36, valueBytes: 400, shape: .mixed)
        dataSet.elements = elements
        expectEqual(try decode(dataSet, MasterOptions()), dataSet)
    }

    @Test func `repetitive data is compressed in blobs, random data is not`() throws {
        var dataSet = SyntheticDataSet(keys: 2000, valueBytes: 100)
        var bytes: [SyntheticDataSet.Content: Int] = [:]
        for content in SyntheticDataSet.Content.allCases {
            dataSet.content = content
            bytes[content] = EncodedDataSet(dataSet, options: MasterOptions()).byteCount
        }
        #expect((bytes[.random] ?? 0) > 2000 * 100)
        #expect((bytes[.repetitive] ?? .max) < 2000 * 60)
    }

    @Test func `a v1_40 master splits large collections into tagged chunks`() throws {
        var dataSet = SyntheticDataSet(keys: 24, valueBytes: 500, shape: .mixed)
        dataSet.elements = 3000
        let setup = options { $0.version = .newest }
        let flows = try decode(dataSet, setup)
        expectEqual(flows, dataSet)
        #expect(flows.reduce(0) { $0 + $1.splitValues } >= 8)
        var plain = setup
        plain.taggedChunks = false
        #expect(EncodedDataSet(dataSet, options: plain).byteCount < EncodedDataSet(dataSet, options: setup).byteCount)
    }

    @Test(arguments: [false, true])
    func `large values of every kind arrive whole, tagged or not`(isTagged: Bool) throws {
        var dataSet = SyntheticDataSet(keys: 500, valueBytes: 200)
        dataSet.largeValues = LargeValue.Kind.allCases.flatMap { kind in
            (0..<3).map { number in
                var value = LargeValue(
                    kind, key: "large:\(kind):\(number)", elements: kind == .string ? 1 : 5000,
                    elementBytes: kind == .string ? 700_000 : 60, seed: UInt64(number))
                value.database = number
                value.expiresAt = number == 1 ? SyntheticDataSet.farMilliseconds : nil
                return value
            }
        }
        let flows = try decode(dataSet, options { $0.taggedChunks = isTagged }, window: 10_000)
        expectEqual(flows, dataSet)
        for large in dataSet.largeValues {
            let place = DecodedFlow.Key(database: large.database, key: large.key)
            let found = flows.compactMap { $0.entries[place] }.first
            #expect(found == DecodedFlow.Entry(value: large.wholeValue, expiresAt: large.expiresAt))
        }
    }

    @Test func `the same seed gives the same bytes, and another seed gives others`() {
        let one = SyntheticDataSet(keys: 50, shape: .mixed, seed: 1)
        #expect(one.entry(at: 17) == SyntheticDataSet(keys: 50, shape: .mixed, seed: 1).entry(at: 17))
        #expect(one.entry(at: 18) != SyntheticDataSet(keys: 50, shape: .mixed, seed: 2).entry(at: 18))
    }

    @Test func `LZF strings decode`() throws {
        var generator = SplitMix64(seed: 3)
        for length in [21, 100, 300, 9000] {
            let words = RandomText.words(length, &generator)
            let run = Array(repeating: UInt8(7), count: length)
            for bytes in [words, run, words + RandomText.bytes(500, &generator) + words] {
                var dataSet = EntryBuffer(compression: .lzf, chunkBytes: 1 << 20, isTagging: false)
                dataSet.append(database: 0, key: [0x6B], expiresAt: nil, value: .string(bytes))
                let body = Array("REDIS0009".utf8) + (dataSet.flush() ?? []) + SnapshotFrame.end
                let token = String(repeating: "a", count: 40)
                let flow = try DecodedFlow(
                    body + SnapshotFrame.offset(1) + SnapshotFrame.eof(token: token), token: token)
                #expect(flow["k"] == .string(bytes))
            }
        }
    }

    @Test func `DUMP payloads equal those of a master`() {
        // Protocol V22.
        let expected: [UInt8] = [0, 1, 0x76, 9, 0, 0x41, 0xFA, 0x9F, 0x7E, 0x4D, 0xBE, 0xE9, 0x7F]
        #expect(DumpPayload.bytes(.string([0x76])) == expected)
    }

    @Test func `values are encoded as the recorded ones`() {
        func body(_ value: Value) -> [UInt8] {
            var encoder = ValueEncoder(compression: .none)
            return [encoder.encode(value)] + encoder.writer.bytes
        }
        func text(_ text: String) -> [UInt8] { Array(text.utf8) }
        // Protocol V10 and V12 to V17.
        #expect(body(.string(text("-7"))) == [0, 0xC0, 0xF9])
        #expect(body(.string(text("12345"))) == [0, 0xC1, 0x39, 0x30])
        #expect(
            body(.set([text("1"), text("2"), text("300")])) == [
                0x0B, 0x0E, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 2, 0, 0x2C, 1,
            ])
        #expect(
            body(.hash([text("f1"): text("v1"), text("f2"): text("2")])) == [
                0x10, 0x15, 0x15, 0, 0, 0, 4, 0, 0x82, 0x66, 0x31, 3, 0x82, 0x76, 0x31, 3, 0x82, 0x66, 0x32, 3, 2, 1,
                0xFF,
            ])
        #expect(
            body(.zset([text("a"): 1.5, text("b"): 2])) == [
                0x11, 0x14, 0x14, 0, 0, 0, 4, 0, 0x81, 0x61, 2, 0x83, 0x31, 0x2E, 0x35, 4, 0x81, 0x62, 2, 2, 1, 0xFF,
            ])
        #expect(
            body(.list([text("a"), text("b"), text("1000")])) == [
                0x12, 1, 2, 0x10, 0x10, 0, 0, 0, 3, 0, 0x81, 0x61, 2, 0x81, 0x62, 2, 0xC3, 0xE8, 2, 0xFF,
            ])
        let fields = [
            text("f"): Value.ExpiringField(value: text("v"), expiresAtSeconds: 1_795_394_734),
            text("g"): Value.ExpiringField(value: text("w"), expiresAtSeconds: nil),
        ]
        #expect(
            body(.expiringHash(fields)) == [
                0x1F, 2, 1, 0x66, 1, 0x76, 0xC2, 0x2E, 0xE1, 0x29, 7, 1, 0x67, 1, 0x77, 0xC0, 0xFF,
            ])
        #expect(
            body(.expiringSet([text("m1"): 1_795_394_734, text("m2"): nil])) == [
                0x20, 2, 2, 0x6D, 0x31, 0xC2, 0x2E, 0xE1, 0x29, 7, 2, 0x6D, 0x32, 0xC0, 0xFF,
            ])
    }
}

extension LargeValue {
    /// The value in memory, to compare with.
    var wholeValue: Value {
        switch kind {
        case .string:
            return .string(
                stride(from: 0, to: elementBytes, by: Self.stringPieceBytes).flatMap { stringPiece(at: $0) })
        case .list: return .list((0..<elements).map { element(at: $0).text })
        case .set: return .set(Set((0..<elements).map { element(at: $0).text }))
        case .hash:
            return .hash(Dictionary((0..<elements).map { (element(at: $0).text, element(at: $0).value) }) { $1 })
        case .zset:
            return .zset(Dictionary((0..<elements).map { (element(at: $0).text, element(at: $0).score) }) { $1 })
        }
    }
}
