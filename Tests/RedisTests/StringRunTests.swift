import Lab
import Testing
import Wire

@testable import Redis

@Suite struct `Runs of strings in a batch` {
    private static let checkpoint = PositionFields(
        key: Array("k".utf8), field: Array("f".utf8), value: Array("v".utf8))

    private func batch(joining: Bool = true) -> CommandBatch {
        let batch = CommandBatch()
        batch.joinsStrings = joining
        return batch
    }

    private func add(_ key: String, _ value: String, to batch: CommandBatch) {
        batch.appendString(Array(key.utf8).span.bytes, Array(value.utf8).span.bytes)
    }

    private func bytes(_ batch: CommandBatch) -> String {
        batch.bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 49, 50, 51, 127, 128])
    func `form one MSET of all pairs, complete after each pair`(_ count: Int) {
        let (batch, expected) = (batch(), CommandBatch())
        let pairs = (0..<count).map { ("key:\($0)", String(repeating: "v", count: $0)) }
        for (number, pair) in pairs.enumerated() {
            add(pair.0, pair.1, to: batch)
            #expect(batch.operationCount == number + 1)
        }
        expected.append(
            [Array((count == 1 ? "SET" : "MSET").utf8)] + pairs.flatMap { [Array($0.0.utf8), Array($0.1.utf8)] })
        #expect(bytes(batch) == bytes(expected))
        #expect(batch.commandCount == 1)
        #expect(batch.isRun(0) == (count > 1))
    }

    @Test func `end at a length that does not block a server`() throws {
        let batch = batch()
        for number in 0..<300 { add("k\(number)", "v", to: batch) }
        #expect(batch.commandCount == 3)
        let long = self.batch()
        let value = String(repeating: "v", count: 4000)
        for number in 0..<17 { add("k\(number)", value, to: long) }
        #expect(try long.lines().map { $0.prefix(4) } == ["MSET", "SET "])
    }

    @Test func `end at any other command and at a large value`() throws {
        let batch = batch()
        let large = String(repeating: "v", count: 5000)
        for (key, value) in [("a", "1"), ("b", "2"), ("c", large), ("d", "4"), ("e", "5")] {
            add(key, value, to: batch)
        }
        batch.append("DEL", Array("a".utf8))
        add("f", "6", to: batch)
        #expect(
            try batch.lines() == ["MSET a 1 b 2", "SET c \(large)", "MSET d 4 e 5", "DEL a", "SET f 6"])
        #expect(batch.operationCount == 7)
    }

    @Test func `are formed only on request, and not after a value that is written in pieces`() throws {
        let single = batch(joining: false)
        for key in ["a", "b"] { add(key, "1", to: single) }
        #expect(try single.lines() == ["SET a 1", "SET b 1"])
        let growing = batch()
        for key in ["a", "b"] { add(key, "1", to: growing) }
        growing.beginLongCommand("SET", label: "SET big", argumentBytes: 1) { $0.append("big") }
        growing.appendToLongCommand(Array("x".utf8).span.bytes)
        growing.endLongCommand()
        for key in ["c", "d"] { add(key, "1", to: growing) }
        #expect(try growing.lines() == ["MSET a 1 b 1", "SET big x", "SET c 1", "SET d 1"])
    }

    @Test func `name each of their keys`() {
        let batch = batch()
        batch.append("SELECT", Int64(3))
        for key in ["a", "b"] { add(key, "secret", to: batch) }
        #expect(batch.label(ofCommand: 1).description == "MSET \"a\"")
        #expect(
            batch.labels(ofCommand: 1) == [
                .init(name: "SET", key: "\"a\"", database: 3), .init(name: "SET", key: "\"b\"", database: 3),
            ])
        #expect(batch.labels(ofCommand: 0) == [.init(name: "SELECT", key: "")])
    }

    /// A batch of random commands and records.
    private func fill(_ batch: CommandBatch, seed: UInt64) {
        var state = seed
        func next(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        for number in 0..<next(40) { add("snapshot:\(number)", "v", to: batch) }
        batch.beginJournal()
        var records: UInt64 = 0
        for number in 0..<next(200) {
            switch next(20) {
            case 0:
                batch.append("INCR", Array("n".utf8))
                batch.noteEffective()
            case 1:
                batch.append("SET", Array("k".utf8), Array("v".utf8), "NX" as StaticString)
                batch.noteGuarded(key: "k", database: 0)
            case 2:
                let first = batch.commandCount
                batch.append("PEXPIREAT", Array("k".utf8), Int64(7))
                batch.noteOutsideStream(from: first)
            case 3: break
            default: add("k\(number)", String(repeating: "v", count: next(30)), to: batch)
            }
            // Some records have more than one command.
            if next(4) > 0 {
                batch.endRecord()
                records += 1
            }
        }
        batch.progress.nextLSN = 1000 + records
        batch.progress.flowBytes = 7
        batch.seal(checkpoint: Self.checkpoint)
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func `are split into exactly the commands of a batch without runs`(_ seed: UInt64) {
        let (joined, single) = (batch(), batch(joining: false))
        fill(joined, seed: seed)
        fill(single, seed: seed)
        let apart = joined.inSingleCommands()
        #expect(bytes(apart) == bytes(single))
        #expect(apart.commandCount == single.commandCount)
        #expect(joined.operationCount == single.commandCount)
        #expect(apart.checkpointValue == single.checkpointValue)
        #expect(apart.progress == single.progress)
        #expect(apart.units(apart.sizes()) == single.units(single.sizes()))
        for command in 0..<single.commandCount {
            #expect(apart.isEffective(command) == single.isEffective(command))
            #expect(apart.isGuarded(command) == single.isGuarded(command))
            #expect(apart.isOutsideStream(command) == single.isOutsideStream(command))
        }
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func `are removed from a batch, or kept in it, like the commands they replace`(_ seed: UInt64) throws {
        let (joined, single) = (batch(), batch(joining: false))
        fill(joined, seed: seed)
        fill(single, seed: seed)
        let refused = Set(
            (0..<joined.commandCount - 1).filter { joined.label(ofCommand: $0).name == "INCR" || joined.isRun($0) }
                .prefix(7))
        let (rest, expected) = (joined.removing(refused), single.removing(joined.runs.operations(ofCommands: refused)))
        #expect(bytes(rest) == bytes(expected))
        #expect(rest.isSealed && rest.progress == joined.progress && rest.checkpointValue == joined.checkpointValue)
        #expect(rest.units(rest.sizes()) == expected.units(expected.sizes()))
    }

    // MARK: At a server

    @Test func `replace existing values and end their TTLs, as SET does`() async throws {
        let target = try await TargetUnderTest(setUp: [["RPUSH", "a", "x"], ["SET", "b", "x", "EX", "100"]])
        let batch = batch()
        for key in ["a", "b", "c", "c"] { add(key, "of \(key)", to: batch) }
        #expect(try target.send(batch) == .applied([]))
        #expect(try target.list("MGET", "a", "b", "c") == ["of a", "of b", "of c"])
        #expect(try target.integer("TTL", "b") == -1)
        #expect(try target.checkpoint == 1)
    }

    @Test func `can be split if a server refuses MSET`() async throws {
        let target = try await TargetUnderTest()
        try target.client.command("ACL", "SETUSER", "default", "-mset")
        let batch = batch()
        batch.append("DEL", Array("x".utf8))
        for key in ["a", "b"] { add(key, "1", to: batch) }
        guard case .refused(let refusals) = try target.send(batch) else { throw LabError("it is refused") }
        #expect(refusals.map(\.command) == [1])
        #expect(batch.isRun(1))
        #expect(try target.checkpoint == nil)
        target.onLink { $0.send(batch.inSingleCommands()) }
        guard case .outcome(.applied([])) = try target.nextEvent() else { throw LabError("it is applied") }
        #expect(try target.list("MGET", "a", "b") == ["1", "1"])
        #expect(try target.checkpoint == 1)
    }

    @Test func `are applied without a command of their batch that a server refuses`() async throws {
        let target = try await TargetUnderTest()
        try target.client.command("ACL", "SETUSER", "default", "-script")
        let batch = batch()
        for key in ["a", "b"] { add(key, "1", to: batch) }
        batch.append("SCRIPT", "LOAD" as StaticString, Array("return 1".utf8))
        for key in ["c", "d"] { add(key, "1", to: batch) }
        guard case .refused(let refusals) = try target.send(batch) else { throw LabError("it is refused") }
        #expect(refusals.map(\.command) == [1])
        target.onLink { $0.send(batch.removing(Set(refusals.map(\.command)))) }
        guard case .outcome(.applied([])) = try target.nextEvent() else { throw LabError("it is applied") }
        #expect(try target.list("MGET", "a", "b", "c", "d") == ["1", "1", "1", "1"])
        #expect(try target.checkpoint == 1)
    }
}
