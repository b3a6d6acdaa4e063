import Lab
import Testing
import Wire

@testable import Redis

@Suite struct `A batch that is divided into parts` {
    private static let checkpoint = PositionFields(
        key: Array("k".utf8), field: Array("f".utf8), value: Array("v".utf8))

    private func add(_ line: String, to batch: CommandBatch) {
        batch.append(words(line).map { Array($0.utf8) })
    }

    /// A batch of the journal: one record per line, its commands separated by `;`.
    private func journal(_ records: String..., next: UInt64, rest: [String] = []) -> CommandBatch {
        let batch = CommandBatch()
        batch.beginJournal()
        for record in records {
            for line in record.split(separator: ";") { add(String(line), to: batch) }
            batch.endRecord()
        }
        for line in rest { add(line, to: batch) }
        batch.progress.nextLSN = next
        batch.progress.flowBytes = 99
        batch.seal(checkpoint: Self.checkpoint)
        return batch
    }

    private func lines(
        _ batch: CommandBatch, _ range: Range<Int>, replacing: [Int: [[[UInt8]]]] = [:]
    ) throws -> [String] {
        let units = batch.units(batch.sizes())
        return try batch.part(units[range], isLast: range.upperBound == units.count, replacing: replacing).batch.lines()
    }

    @Test func `is divided between records only, each with the position after it`() {
        let batch = journal("SELECT 3;SET a 1", "", "SET b 2;DEL c", "INCR n", next: 110, rest: ["SELECT 0"])
        let units = batch.units(batch.sizes())
        #expect(units.map(\.commands) == [0..<2, 2..<2, 2..<4, 4..<6])
        #expect(units.map(\.nextLSN) == [107, 108, 109, 110])
        #expect(units.map(\.records) == [1, 1, 1, 1])
    }

    @Test func `selects the database in each part, and ends in that of the checkpoint`() throws {
        let batch = journal("SELECT 3;SET a 1", "SET b 2", "SELECT 0;SET c 3", "SET d 4", next: 110)
        #expect(try lines(batch, 0..<1) == ["SELECT 3", "SET a 1", "SELECT 0"])
        #expect(try lines(batch, 1..<3) == ["SELECT 3", "SET b 2", "SELECT 0", "SET c 3"])
        #expect(try lines(batch, 3..<4) == ["SET d 4"])
    }

    @Test func `counts records in each part, and bytes in the last`() {
        let batch = journal("SET a 1", "SET b 2", "SET c 3", next: 110)
        let units = batch.units(batch.sizes())
        let (first, last) = (
            batch.part(units[0..<2], isLast: false, replacing: [:]).batch,
            batch.part(units[2..<3], isLast: true, replacing: [:]).batch
        )
        #expect(first.progress.records == 2)
        #expect(first.progress.nextLSN == 109)
        #expect(first.progress.flowBytes == 0)
        #expect(last.progress.records == 1)
        #expect(last.progress.nextLSN == 110)
        #expect(last.progress.flowBytes == 99)
    }

    @Test func `of the snapshot may be divided anywhere, and has no position before its end`() {
        let batch = CommandBatch()
        add("SET a 1", to: batch)
        add("SET b 2", to: batch)
        batch.beginJournal()
        add("SET c 3", to: batch)
        batch.endRecord()
        batch.progress.nextLSN = 8
        batch.seal(checkpoint: nil)
        let units = batch.units(batch.sizes())
        #expect(units.map(\.commands) == [0..<1, 1..<2, 2..<3])
        #expect(units.map(\.nextLSN) == [nil, nil, 8])
    }

    @Test func `without refused commands is still divided between records`() {
        let batch = journal("SET a 1;NOSUCH", "NOSUCH", "SET c 3", next: 110).removing([1, 2])
        let units = batch.units(batch.sizes())
        #expect(units.map(\.commands) == [0..<1, 1..<1, 1..<2])
        #expect(units.map(\.nextLSN) == [108, 109, 110])
    }

    @Test func `knows which of its commands are those of a part`() {
        let batch = journal("SELECT 3;SET a 1", "SET b 2", "SET c 3", next: 110)
        let units = batch.units(batch.sizes())
        let part = batch.part(units[1..<3], isLast: true, replacing: [2: [[Array("UNLINK".utf8), Array("b".utf8)]]])
        // SELECT 3, UNLINK b, SET c 3, SELECT 0
        #expect(part.numbers == [2: 3])
    }

    @Test func `still knows in a part which commands are outside the stream`() {
        let batch = CommandBatch()
        batch.beginJournal()
        for line in ["SET a 1", "SET b 2"] {
            add(line, to: batch)
            batch.endRecord()
        }
        add("PEXPIREAT a 9", to: batch)
        batch.noteOutsideStream(from: 2)
        batch.progress.nextLSN = 110
        batch.seal(checkpoint: Self.checkpoint)
        let units = batch.units(batch.sizes())
        let part = batch.part(units[1...], isLast: true, replacing: [:]).batch
        #expect((0..<2).map(part.isOutsideStream) == [false, true])
        let rest = batch.removing([0])
        #expect((0..<2).map(rest.isOutsideStream) == [false, true])
    }

    @Test func `measures arguments, not their encoding`() {
        let batch = journal("SET key value", next: 2)
        let size = batch.sizes()
        #expect(size.map(\.longestArgument) == [5])
        #expect(size.map(\.allArguments) == [11])
    }

    // MARK: What is left of a command

    private func replacement(
        _ line: String, limit: Int? = 10
    ) -> (commands: [String], effect: CommandReplacement.Effect) {
        let replacement = journal(line, next: 2).replacement(ofCommand: 0, limit: limit)
        return (
            replacement.commands.map { $0.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ") },
            replacement.effect
        )
    }

    private static let long = "12345678901"

    @Test func `removes what an oversized command would replace, and keeps what it would add to`() {
        #expect(replacement("SET k \(Self.long)") == (["UNLINK k"], .removed))
        #expect(replacement("RESTORE k 0 \(Self.long) ABSTTL REPLACE") == (["UNLINK k"], .removed))
        #expect(replacement("HSET h f \(Self.long) g 1") == (["HDEL h f g"], .fieldsRemoved))
        #expect(replacement("MSET a \(Self.long) b 1") == (["UNLINK a", "SET b 1"], .removed))
        #expect(replacement("MSET a 2 b 1", limit: nil) == (["UNLINK a", "UNLINK b"], .removed))
        #expect(replacement("APPEND k \(Self.long)") == ([], .unchanged))
        #expect(replacement("RPUSH k \(Self.long)") == ([], .unchanged))
    }

    @Test func `writes nothing for a key that is too long, or that must not be replaced`() {
        #expect(replacement("SET \(Self.long) v") == ([], .unchanged))
        let batch = CommandBatch()
        batch.append(["SET", "k", Self.long, "NX"].map { Array($0.utf8) })
        batch.noteGuarded(key: "k", database: 0)
        batch.seal(checkpoint: nil)
        #expect(batch.replacement(ofCommand: 0, limit: 10).commands == [])
    }

    // MARK: Long commands

    @Test func `can send the commands before a long one ahead of it`() throws {
        let batch = CommandBatch()
        for line in ["SELECT 3", "SET a *1*", "SET b 2"] { add(line, to: batch) }
        batch.beginLongCommand("SET", label: "SET big", argumentBytes: 6) { $0.append("big") }
        batch.bytes.append("val")
        let before = try #require(batch.takeCommandsBeforeLongOne(in: 3))
        before.seal(checkpoint: Self.checkpoint)
        #expect(try before.lines() == ["SELECT 3", "SET a *1*", "SET b 2", "SELECT 0", "HSET k f v"])
        #expect(batch.takeCommandsBeforeLongOne(in: 3) == nil, "there is nothing more to gain")
        batch.bytes.append("ue!")
        batch.endLongCommand()
        batch.seal(checkpoint: Self.checkpoint)
        #expect(try batch.lines() == ["SELECT 3", "SET big value!", "HSET k f v"])
        #expect(batch.label(ofCommand: 1).name == "SET big")
    }

    // MARK: Limits

    @Test func `may use limits to the last byte`() {
        let limits = TargetLimits(argumentBytes: 100, transactionBytes: 10_000)
        #expect(limits.excess(ofArgument: 100, all: 200) == nil)
        #expect(limits.excess(ofArgument: 101, all: 200) == .argument(bytes: 101, limit: 100))
        let most = 10_000 - TargetLimits.frameBytes
        #expect(limits.excess(ofArgument: 1, all: most) == nil)
        #expect(limits.excess(ofArgument: 1, all: most + 1) == .transaction(bytes: most + 1, limit: 10_000))
        #expect(TargetLimits().excess(ofArgument: .max, all: 1 << 40) == nil)
    }

    @Test func `has limits from the configuration rather than from refusals`() {
        let known = KnownTargetLimits()
        known.refused(argumentBytes: 500)
        known.refused(argumentBytes: 700)
        #expect(known.limits.argumentBytes == 499)
        #expect(known.limits.excess(ofArgument: 500, all: 500) == .argument(bytes: 500, limit: nil))
        known.configure(TargetLimits(argumentBytes: 1000, transactionBytes: 2000))
        #expect(known.limits == TargetLimits(argumentBytes: 1000, transactionBytes: 2000))
    }
}
