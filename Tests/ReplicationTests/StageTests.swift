import Dragonfly
import Foundation
import Redis
import Testing
import Wire

@testable import Replication

/// Each stage of a flow's encoder by itself: what it lets pass, drops or holds back, and what it writes.
@Suite struct `A stage of the encoder` {
    /// Stages with nobody around them.
    private final class Scene {
        let scene: EncoderScene
        let stages: FlowStages

        init(
            policy: (inout ReplicationPolicy) -> Void = { $0.onUnsupported = .skip },
            context: (inout FlowContext) -> Void = { _ in }, start change: (inout FlowStart) -> Void = { _ in }
        ) throws {
            scene = EncoderScene(policy: policy, context: context)
            var start = FlowStart(mode: .full(token: []))
            change(&start)
            stages = try FlowStages(
                flow: FlowID(0), start: start, context: scene.context, profile: scene.profile)
            stages.position.setArrival(newest: EncoderScene.now, oldest: EncoderScene.now)
        }

        func admit(_ line: String, to stage: any RecordStage, database: UInt32 = 0) throws -> Admission {
            try withCommand(line) { stage.admit($0, at: RecordPlace(database: database, isInSnapshot: true)) }
        }

        func withCommand<R>(_ line: String, _ body: (borrowing JournalCommand) -> R) throws -> R {
            var buffer = ByteBuffer()
            buffer.append(journalCommand: line.split(separator: " ").map(String.init))
            var reader = ByteReader(buffer.bytes)
            guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 1 << 20) else {
                throw CocoaError(.coderInvalidValue)
            }
            return body(command)
        }

        /// What the stages have written since the last call.
        func lines() throws -> [String] { try stages.builder.takeBatch().inSingleCommands().wireLines() }
    }

    @Test func `drops records of a database that the target lacks`() throws {
        let scene = try Scene(context: { $0.targetDatabases = 2 })
        #expect(try scene.admit("SET k v", to: scene.stages.targetDatabase, database: 1) == .pass)
        #expect(try scene.admit("SET k v", to: scene.stages.targetDatabase, database: 2) == .drop)
        #expect(scene.scene.letters == ["database-number \"k\""])
        #expect(try scene.lines() == [])
    }

    @Test func `passes commands that affect all databases, and reports a key moved out of a missing one`() throws {
        let scene = try Scene(context: { $0.targetDatabases = 2 })
        let stage = scene.stages.targetDatabase
        for line in ["FLUSHALL", "SCRIPT LOAD script", "DFLYCLUSTER FLUSHSLOTS 0 1"] {
            #expect(try scene.admit(line, to: stage, database: 2) == .pass)
        }
        #expect(try scene.admit("FLUSHDB", to: stage, database: 2) == .drop)
        #expect(try scene.admit("MOVE k 1", to: stage, database: 2) == .drop)
        #expect(scene.scene.letters.last == "missing-key \"k\"")
        #expect(try scene.lines() == [])
    }

    @Test func `drops a MOVE or COPY to a database that the target lacks, and removes the moved key`() throws {
        let scene = try Scene(context: { $0.targetDatabases = 2 })
        #expect(try scene.admit("MOVE k 1", to: scene.stages.otherDatabase) == .pass)
        #expect(try scene.admit("MOVE k 2", to: scene.stages.otherDatabase) == .drop)
        #expect(try scene.admit("COPY k l DB 2", to: scene.stages.otherDatabase) == .drop)
        #expect(try scene.lines() == ["UNLINK k"])
    }

    @Test func `drops commands on reserved names, and writes the rest of a mixed command`() throws {
        let scene = try Scene()
        #expect(try scene.admit("DEL a b", to: scene.stages.reservedNames) == .pass)
        #expect(try scene.admit("DEL a df2redis:x b", to: scene.stages.reservedNames) == .drop)
        #expect(try scene.admit("SET df2redis:x v", to: scene.stages.reservedNames) == .drop)
        #expect(try scene.lines() == ["DEL a b"])
    }

    @Test func `removes older values once, ahead of commands that would build on them`() throws {
        let scene = try Scene(start: { $0.keyFolder = NSTemporaryDirectory() })
        let reconcile = scene.stages.reconcile
        reconcile.markSynced(Array("b".utf8).span.bytes, database: 0)
        scene.stages.builder.select(0)
        for _ in 0..<2 { #expect(try scene.admit("MSET a 1 b 2", to: reconcile) == .pass) }
        #expect(try scene.lines() == ["SELECT 0", "UNLINK a"])
        try reconcile.forget()
        #expect(reconcile.synced([Array("a".utf8)], database: 0) == [])
        reconcile.end(remembers: false)
        #expect(try scene.admit("SET c 1", to: reconcile) == .pass)
        #expect(try scene.lines() == [])
    }

    @Test func `holds a record back until the target has said whether it has the key`() throws {
        let scene = try Scene(policy: { $0.onConflict = .skip })
        let stages = scene.stages
        let stage = try ConflictStage(
            directory: NSTemporaryDirectory(), stages.builder, stages.reports, reserved: stages.reservedNames.names)
        #expect(try scene.admit("SET a 1", to: stage) == .wait)
        #expect(try scene.admit("SET b 2", to: stage) == .wait)
        #expect(stage.questions.map(\.key) == [Array("a".utf8)])
        guard case .questions = stages.reports.halt else { throw CocoaError(.coderInvalidValue) }
        stages.reports.resume()
        var seen: [String] = []
        stage.resolve(existing: [.init(database: 0, key: Array("a".utf8))]) { command, place in
            let key = command.argument(at: 1).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            seen.append("\(key) \(stage.admit(command, at: place))")
        }
        #expect(seen == ["a drop", "b wait"])
    }

    @Test func `holds back a HyperLogLog of a snapshot until it is known not to be a copy`() throws {
        let scene = try Scene(context: { $0.session.flowCount = 4 })
        let stage = scene.stages.ownership
        let value = Array("HYLL".utf8) + [UInt8](repeating: 0, count: 12 + 12_288)
        let head = EntryHead(database: 0, expiryMilliseconds: nil, type: .string)
        var written: [[UInt8]] = []
        stage.beginSnapshot { written.append($0.key) }
        #expect(stage.admit(head, key: Array("h".utf8).span.bytes, value: value.span.bytes) == .wait)
        let own = (0..<100).map { "k\($0)" }.first {
            XXH64.hash(Array($0.utf8).span.bytes, seed: 120_577_240_643) % 4 == 0
        }
        #expect(try scene.admit("SADD \(try #require(own)) x", to: stage) == .pass)
        #expect(written == [])
        #expect(try scene.admit("PFADD h x", to: stage) == .pass)
        #expect(written == [Array("h".utf8)], "a record finds the value that it builds on")
        stage.endSnapshot()
        #expect(stage.admit(head, key: Array("h".utf8).span.bytes, value: value.span.bytes) == .pass, "unproven")
    }

    @Test func `halts at a global command`() throws {
        let scene = try Scene()
        #expect(try scene.admit("FLUSHALL", to: scene.stages.rewrite) == .wait)
        guard case .restart(.flushAll) = scene.stages.reports.halt else { throw CocoaError(.coderInvalidValue) }
        #expect(try scene.lines() == [])
    }

    // MARK: TTLs of members

    @Test func `writes commands that give members TTLs, and what other commands need before and after`() throws {
        let scene = try Scene()
        let stage = try #require(scene.stages.memberTTLs)
        #expect(try scene.admit("SADD s a", to: stage) == .pass)
        #expect(try scene.lines() == [], "no key has any")
        #expect(try scene.admit("SADDEX s 10 a", to: stage) == .written)
        #expect(try scene.admit("SADDEX s soon a", to: stage) == .drop)
        #expect(scene.scene.letters == ["unknown-command \"s\""])
        #expect(try scene.lines().count == 1)
        #expect(try scene.admit("SADD s a", to: stage) == .pass)
        #expect(try scene.lines().first?.contains("SREM") == true, "what has passed goes first")
        #expect(try scene.admit("DEL s", to: stage) == .pass)
        #expect(try scene.lines() == ["UNLINK df2redis:ttl:test:s", "ZREM df2redis:ttl-due:test:0 s"])
        #expect(try scene.admit("SET s v", to: stage) == .pass)
        #expect(try scene.lines() == [])
        try scene.withCommand("SET s v") { stage.wrote($0, at: RecordPlace(database: 0)) }
        #expect(try scene.lines().first?.hasPrefix("EVAL") == true, "it may be no set any more")
    }

    @Test func `moves a key's own deadline along with those of its members`() throws {
        let folder = NSTemporaryDirectory() + "df2redis-stages-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let scene = try Scene(
            context: { $0.clock = { EncoderScene.now } },
            start: { $0.expiry = .init(folder: folder, origin: 1, window: .seconds(60)) })
        let stages = scene.stages
        let deadline = EncoderScene.now + 5_000
        for line in ["SADDEX s 100 a", "PEXPIREAT s \(deadline)", "MOVE s 3"] {
            let place = RecordPlace(database: 0)
            let admission = try scene.withCommand(line) { stages.admit($0, at: place, conflicts: nil) }
            #expect(admission == .written)
        }
        let key = Array("s".utf8)
        let wheel = try #require(stages.expiryGuard).keyExpiries
        #expect(wheel.deadlines(of: key.span.bytes, database: 3) == [deadline])
    }

    // MARK: The line

    @Test func `does not see a record that an earlier stage has dropped`() throws {
        let scene = try Scene(start: { $0.keyFolder = NSTemporaryDirectory() })
        let place = RecordPlace(database: 0, isInSnapshot: true)
        let admission = try scene.withCommand("DEL df2redis:x a") {
            scene.stages.admit($0, at: place, conflicts: nil)
        }
        #expect(admission == .drop)
        // Reconciling comes first: the remaining keys of the command belong to the source from here on.
        #expect(try scene.lines() == ["SELECT 0", "UNLINK a", "DEL a"])
        #expect(scene.stages.reconcile.synced([Array("a".utf8)], database: 0).count == 1)
    }

    @Test func `undoes a MOVE in a snapshot that may have moved nothing, even with TTLs of members`() throws {
        let scene = EncoderScene()
        try scene.journal("SADDEX s 100 a")
        try scene.journal("MOVE s 3")
        #expect(scene.letters == ["move-in-full-sync \"s\""])
        scene.string("s", database: 3)
        let lines = try scene.lines()
        let last = lines.suffix(4).map { $0.prefix { $0 != " " } }
        // Back to where it came from, with its members' TTLs; then the value takes the place.
        #expect(last == ["EVAL", "UNLINK", "ZREM", "SET"])
        #expect(lines.dropLast(3).last?.hasSuffix(" 3 0") == true)
    }

    @Test func `holds values in pieces only during a full sync`() {
        let scene = EncoderScene(policy: { ($0.onUnsupported, $0.onConflict) = (.skip, .skip) })
        let head = EntryHead(database: 2, expiryMilliseconds: nil, type: .hash)
        scene.encoder.valueBegan(head, key: Array("h".utf8).span.bytes, stream: 1)
        for text in ["f", "v"] { scene.encoder.value(.element(Array(text.utf8).span.bytes), stream: 1) }
        #expect(scene.encoder.partialKeys.map(\.database) == [2])
        scene.encoder.value(.ended, stream: 1)
        #expect(scene.encoder.partialKeys.isEmpty)
        scene.becomeStable()
        #expect(scene.encoder.isStable)
    }

    @Test func `for full syncs is absent from a resumed flow`() throws {
        let scene = EncoderScene(start: {
            ($0.mode, $0.next) = (.partial, LSN(7))
            $0.conflictFolder = NSTemporaryDirectory()
        })
        #expect(scene.encoder.isStable && scene.encoder.hasCompletedSnapshot)
        try scene.journal("SET k v", inSnapshot: false)
        #expect(scene.encoder.halt == nil && scene.encoder.questions.isEmpty)
        #expect(scene.encoder.nextLSN == 8)
        #expect(scene.encoder.partialKeys.isEmpty)
    }

    // MARK: What stages share

    @Test func `limits the time at which a command ran to what its arrival proves`() {
        let position = StreamPosition(next: nil)
        position.setArrival(newest: 5_000, oldest: 4_000)
        #expect(position.window == ExecutionWindow(earliest: 4_000 - ElementExpiry.transitMilliseconds, latest: 5_000))
        // Records that a source sends again may be of any earlier time.
        let continued = StreamPosition(next: 7)
        continued.setArrival(newest: 5_000, oldest: 4_000)
        #expect(continued.window == ExecutionWindow(earliest: 0, latest: 5_000))
        continued.catchUpEnd = 7
        #expect(continued.window.earliest > 0)
    }

    @Test func `halts for its first reason, and a failure stays`() throws {
        let reports = try Scene().stages.reports
        reports.halt(.questions)
        reports.halt(.restart(.flushAll))
        guard case .questions = reports.halt else { throw CocoaError(.coderInvalidValue) }
        reports.resume()
        #expect(reports.halt == nil)
        reports.halt(.questions)
        reports.fail(.file, "first")
        reports.fail(.policy, "second")
        reports.resume()
        guard case .failure(let error) = reports.halt else { throw CocoaError(.coderInvalidValue) }
        #expect(error.code == .file)
    }
}
