import Dragonfly
import Foundation
import Link
import Logging
import Redis
import Testing
import Wire

@testable import Replication

/// What a flow's events become: the commands of the batch, and what is reported of keys.
@Suite struct `A flow's events as commands` {
    private let path = NSTemporaryDirectory() + "df2redis-encoder-\(UUID().uuidString).jsonl"

    private func encoder(
        protocolVersion: Int = 5, _ change: (inout ReplicationPolicy) -> Void = { $0.onUnsupported = .skip }
    ) -> FlowEncoder {
        var policy = ReplicationPolicy()
        change(&policy)
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let target = TargetSettings(endpoint: Endpoint(host: "127.0.0.1", port: 1), clientName: "test")
        let context = FlowContext(
            task: "test", policy: policy,
            session: .init(replicationID: "id", syncID: "SYNC1", flowCount: 1, protocolVersion: protocolVersion),
            targetDatabases: 16, connector: TargetConnector(settings: target),
            incidents: IncidentLog(logger: logger, path: path), logger: logger, allProgress: [FlowProgress()],
            retry: RetryPolicy())
        return FlowEncoder.begun(context, TargetProfile(flavor: .redis, version: .init(7, 0, 15)))
    }

    private func snapshot(_ encoder: FlowEncoder, _ key: String, database: UInt32, expiry: Int64? = nil) {
        encoder.stringEntry(
            EntryHead(database: database, expiryMilliseconds: expiry, type: .string), key: Array(key.utf8).span.bytes,
            value: Array("v".utf8).span.bytes)
    }

    private func journal(_ encoder: FlowEncoder, _ line: String, database: UInt32, inSnapshot: Bool) throws {
        var buffer = ByteBuffer()
        buffer.append(journalCommand: line.split(separator: " ").map(String.init))
        var reader = ByteReader(buffer.bytes)
        guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 1 << 20) else { return }
        encoder.command(command, database: database, inSnapshot: inSnapshot)
    }

    private var letters: [String] {
        let contents = FileManager.default.contents(atPath: path) ?? Data()
        defer { try? FileManager.default.removeItem(atPath: path) }
        return String(decoding: contents, as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any]
            return fields.map { "\($0["kind"] ?? "") \($0["database"] ?? "") \($0["key"] ?? "")" }
        }
    }

    @Test func `a MOVE during the full sync is undone if the snapshot has a key at its destination`() throws {
        let encoder = encoder()
        snapshot(encoder, "k", database: 0)
        try journal(encoder, "MOVE k 3", database: 0, inSnapshot: true)
        try journal(encoder, "MOVE other 3", database: 0, inSnapshot: true)
        snapshot(encoder, "k", database: 3)
        snapshot(encoder, "k2", database: 3)
        #expect(
            try encoder.lines() == [
                "SELECT 0", "SET k v", "MOVE k 3", "MOVE other 3", "SELECT 3", "MOVE k 0", "SET k v", "SET k2 v",
            ])
        #expect(letters == ["move-in-full-sync 0 \"k\"", "move-in-full-sync 0 \"other\""])
    }

    @Test func `a MOVE after the snapshot is applied as it is`() throws {
        let encoder = encoder()
        encoder.snapshotCompleted()
        try journal(encoder, "MOVE k 3", database: 0, inSnapshot: true)
        encoder.journalOffset(1)
        encoder.stableStreamBegan()
        try journal(encoder, "MOVE k 3", database: 0, inSnapshot: false)
        #expect(encoder.nextLSN == 2)
        #expect(letters.isEmpty)
    }

    @Test func `a MOVE during a full sync to a database that the target lacks removes the key at once`() throws {
        let scene = EncoderScene(context: { $0.targetDatabases = 4 })
        scene.string("k", database: 0)
        try scene.journal("MOVE k 7")
        try scene.journal("COPY k to DB 7")
        // This entry shows that nothing had been moved at the source: too late for the target, so it is reported.
        scene.string("k", database: 7)
        scene.encoder.snapshotCompleted()
        #expect(try scene.lines() == ["SELECT 0", "SET k v", "UNLINK k"])
        #expect(scene.letters == ["database-number \"k\"", "database-number \"k\""])
    }

    @Test func `databases skipped by configuration do not stop the task, and other missing ones still do`() throws {
        let scene = EncoderScene(policy: {
            $0.onUnsupported = .stop
            $0.skippedDatabases = [3]
        })
        scene.string("k", database: 3)
        scene.string("m", database: 0)
        try scene.journal("MOVE m 3")
        #expect(try scene.lines() == ["SELECT 0", "SET m v", "UNLINK m"])
        #expect(scene.letters == ["database-number \"k\"", "database-number \"m\""])
        #expect(scene.failure == nil)
        scene.string("k", database: 9999)
        #expect(scene.failure?.message.contains("target.database: {<number>: skip}") == true)
    }

    @Test func `every key of a fragmented command is reported once`() throws {
        let encoder = encoder()
        for _ in 1...3 { try journal(encoder, "GEORADIUS geo dst", database: 2, inSnapshot: false) }
        try journal(encoder, "SORT ALPHA STORE only", database: 2, inSnapshot: false)
        #expect(
            letters == [
                "fragmented-georadius 2 \"geo\"", "fragmented-georadius 2 \"dst\"", "fragmented-sort 2 \"only\"",
            ])
        #expect(encoder.nextLSN == 4)
    }

    @Test(arguments: [(4, ["consumer-group-reads 0 \"x\""]), (5, [])])
    func `consumer groups are reported if the master does not journal XREADGROUP`(
        _ version: Int, _ expected: [String]
    ) throws {
        let encoder = encoder(protocolVersion: version)
        for line in ["XGROUP CREATE x g 0", "XACK x g 1-1", "XACK x g 1-2"] {
            try journal(encoder, line, database: 0, inSnapshot: false)
        }
        #expect(letters == expected)
    }

    @Test func `an expired key is removed, or left alone under a conflict policy`() throws {
        let overwriting = encoder()
        // The clocks of source and daemon may differ a little.
        snapshot(overwriting, "k", database: 0, expiry: 1_799_999_998_000)
        #expect(try overwriting.lines() == ["SELECT 0", "UNLINK k"])
        let skipping = encoder { $0.onConflict = .skip }
        snapshot(skipping, "k", database: 0, expiry: 1_799_999_997_999)
        snapshot(skipping, "l", database: 0, expiry: 1_799_999_998_001)
        #expect(try skipping.lines() == ["SELECT 0", "SET l v PXAT 1799999998001 NX"])
        #expect(overwriting.reports.counts.expired == 1)
        #expect(skipping.reports.counts.expired == 1)
    }

    @Test(arguments: ["BF.ADD filter x", "SADDEX s 10 m", "NEWER k v"])
    func `the position stays before a record that the task stops at`(_ record: String) throws {
        let scene = EncoderScene(policy: { $0.elementExpiry = .unsupported })
        scene.becomeStable()
        try scene.journal("SET k v", inSnapshot: false)
        try scene.journal(record, inSnapshot: false)
        #expect(scene.failure?.code == .policy)
        #expect(scene.encoder.nextLSN == 2)
        #expect(scene.encoder.batch.progress.records == 1)
    }

    @Test func `an LSN that differs from the counted one ends the flow`() throws {
        let encoder = encoder()
        encoder.snapshotCompleted()
        encoder.journalOffset(10)
        encoder.stableStreamBegan()
        try journal(encoder, "SET k v", database: 0, inSnapshot: false)
        encoder.journalPing(inSnapshot: false)
        encoder.journalLSN(11)
        #expect(!encoder.isPaused)
        encoder.journalLSN(10)
        var code: ReplicationError.Code?
        if case .failure(let error)? = encoder.halt { code = error.code }
        #expect(code == ReplicationError.Code.recordsLost)
    }

    @Test(arguments: [
        ("FLUSHALL", true), ("FLUSHDB", true), ("FLUSHALL", false), ("DFLYCLUSTER FLUSHSLOTS 0 9", false),
    ])
    func `a global command halts the flow, or restarts it during a snapshot`(_ line: String, _ inSnapshot: Bool) throws
    {
        let encoder = encoder()
        try journal(encoder, line, database: 0, inSnapshot: inSnapshot)
        switch encoder.halt {
        case .restart?: #expect(inSnapshot)
        case .global?: #expect(!inSnapshot)
        case .failure?, .questions?, nil: Issue.record("the flow is halted by the command")
        }
        #expect(encoder.isPaused)
        #expect(encoder.nextLSN == 0, "it counts when it has been applied")
    }

    @Test func `consecutive plain strings become one MSET, in the snapshot and after it`() throws {
        let scene = EncoderScene()
        for key in ["a", "b"] { scene.string(key) }
        scene.string("c", expiry: EncoderScene.now + 1000)
        scene.string("d")
        try scene.journal("SET e 1")
        #expect(
            try scene.wireLines() == ["SELECT 0", "MSET a v b v", "SET c v PXAT 1800000001000", "MSET d v e 1"])
        #expect(scene.encoder.batch.progress.keys == 4)
        let journal = EncoderScene()
        journal.becomeStable()
        for line in ["SET a 1", "SETNX b 2", "SET c 3 EX 10", "SET d 4", "INCR n", "SET e 5", "SET e 6"] {
            try journal.journal(line, inSnapshot: false)
        }
        #expect(
            try journal.wireLines() == [
                "SELECT 0", "MSET a 1 b 2", "SET c 3 PXAT 1800000010000", "SET d 4", "INCR n", "MSET e 5 e 6",
            ])
        #expect(journal.encoder.batch.progress.records == 7)
        #expect(journal.encoder.nextLSN == 8)
    }

    @Test func `strings are separate commands under a conflict policy or after a refused MSET`()
        throws
    {
        let guarding = EncoderScene(policy: { $0.onConflict = .skip })
        for key in ["a", "b"] { guarding.string(key) }
        #expect(try guarding.wireLines() == ["SELECT 0", "SET a v NX", "SET b v NX"])
        let refused = EncoderScene()
        #expect(refused.encoder.writeSingleStrings())
        #expect(!refused.encoder.writeSingleStrings())
        for key in ["a", "b"] { refused.string(key) }
        #expect(try refused.wireLines() == ["SELECT 0", "SET a v", "SET b v"])
    }

    @Test func `a batch of whole values is unordered, and one with anything else is ordered`() throws {
        let scene = EncoderScene()
        scene.string("a")
        scene.string("b", expiry: EncoderScene.now + 100_000)
        // It has expired.
        scene.string("c", expiry: EncoderScene.now - 100_000)
        #expect(scene.encoder.isBatchUnordered)
        #expect(try scene.lines().last == "UNLINK c")
        // A record may concern a value that is still in flight, even if it becomes part of an MSET.
        scene.string("d")
        try scene.journal("SET d 2")
        #expect(try scene.wireLines().last == "MSET d v d 2")
        #expect(!scene.encoder.isBatchUnordered)
        scene.string("e")
        #expect(!scene.encoder.isBatchUnordered)
        _ = scene.encoder.endBatch(flowBytes: 1)
        scene.string("f")
        #expect(scene.encoder.isBatchUnordered)
        let guarding = EncoderScene(policy: { $0.onConflict = .skip })
        guarding.string("a")
        #expect(!guarding.encoder.isBatchUnordered)
        let last = EncoderScene()
        last.string("a")
        last.encoder.snapshotCompleted()
        #expect(!last.encoder.isBatchUnordered)
        let stable = EncoderScene()
        stable.becomeStable()
        try stable.journal("SET a 1", inSnapshot: false)
        #expect(!stable.encoder.isBatchUnordered)
    }

    @Test func `the limit of commands in a batch counts each string`() throws {
        let scene = EncoderScene(context: { $0.batchCommands = 4 })
        for key in ["a", "b"] { scene.string(key) }
        #expect(!scene.encoder.isBatchFull)
        scene.string("c")
        #expect(scene.encoder.isBatchFull)
    }
}
