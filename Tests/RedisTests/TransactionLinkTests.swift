import Dispatch
import Lab
import Link
import Testing
import Wire

@testable import Redis

@Suite struct `Batches on their way to a target` {
    private func batch(_ lines: String...) -> CommandBatch {
        let batch = CommandBatch()
        for line in lines {
            batch.append(words(line).map { Array($0.utf8) })
        }
        return batch
    }

    // MARK: Looking back

    @Test func `a command is named with its key and database, never with a value`() {
        let batch = batch(
            "SELECT 3", "SET key secret", "XGROUP CREATE stream g 0", "BITOP NOT dst src",
            "EVAL script 1 evalkey secret",
            "SELECT 5", "RENAMENX df2redis:partial name", "PING")
        #expect(
            (0..<8).map { "\(batch.label(ofCommand: $0)) \(batch.label(ofCommand: $0).database)" } == [
                "SELECT 0", "SET \"key\" 3", "XGROUP \"stream\" 3", "BITOP \"dst\" 3", "EVAL \"evalkey\" 3", "SELECT 3",
                "RENAMENX \"name\" 5", "PING 5",
            ])
    }

    @Test func `a batch without some of its commands keeps the others and its checkpoint`() throws {
        let original = batch("SET a 1", "SET b 2", "SET c 3")
        original.progress.records = 3
        original.seal(checkpoint: .init(key: Array("k".utf8), field: Array("f".utf8), value: Array("9".utf8)))
        let rest = original.removing([0, 2])
        #expect(try rest.lines() == ["SET b 2", "HSET k f 9"])
        #expect(rest.progress.records == 3)
        #expect(rest.checkpointValue == Array("9".utf8))
        #expect(rest.commandCount == 2)
    }

    // MARK: Outcomes

    @Test func `a command that the target refuses to queue is reported, and nothing takes effect`() async throws {
        let target = try await TargetUnderTest()
        let batch = batch("SET a 1", "NOSUCH a", "SET b 2", "GET")
        guard case .refused(let refusals) = try target.send(batch) else { throw LabError("it is refused") }
        #expect(refusals.map(\.command) == [1, 3])
        #expect(try target.integer("DBSIZE") == 0)
        let rest = batch.removing(Set(refusals.map(\.command)))
        target.onLink { $0.send(rest) }
        guard case .outcome(.applied([])) = try target.nextEvent() else { throw LabError("the rest is applied") }
        #expect(try target.list("MGET", "a", "b") == ["1", "2"])
        #expect(try target.checkpoint == 1)
    }

    @Test func `a command's error is reported, the other commands and the checkpoint take effect`() async throws {
        let target = try await TargetUnderTest(setUp: [["SET", "s", "v"]])
        let outcome = try target.send(batch("SET a 1", "LPUSH s x", "SET b 2"))
        guard case .applied(let found) = outcome, found.count == 1, case .error(let text) = found[0].kind else {
            throw LabError("one error: \(outcome)")
        }
        #expect(found[0].command == 1)
        #expect(text.hasPrefix("WRONGTYPE"))
        #expect(try target.list("MGET", "a", "b") == ["1", "2"])
        #expect(try target.checkpoint == 1)
    }

    @Test func `nulls and zeros are reported if the batch reports conflicts`() async throws {
        let target = try await TargetUnderTest(setUp: [["SET", "s", "v"]])
        for reports in [false, true] {
            let batch = batch("SET s x NX", "RENAMENX s s", "SET n x NX", "DEL n")
            batch.reportsConflicts = reports
            guard case .applied(let found) = try target.send(batch) else { throw LabError("it is applied") }
            // An HSET of the checkpoint that adds no field is a zero too; the batch's owner judges what it means.
            let told = found.filter { $0.command < 4 }
            #expect(told == (reports ? [.init(command: 0, kind: .null), .init(command: 1, kind: .zero)] : []))
        }
        #expect(try target.text("GET", "s") == "v")
    }

    @Test func `a target that is out of memory refuses a batch for a transient reason`() async throws {
        let target = try await TargetUnderTest(["--maxmemory-policy", "noeviction"])
        try target.client.command("CONFIG", "SET", "maxmemory", "1")
        let batch = batch("SET a 1", "DEL b")
        guard case .refused(let refusals) = try target.send(batch), case .error(let text)? = refusals.first?.kind else {
            throw LabError("it is refused")
        }
        #expect(TargetError.isTransientReply(text), "\(text)")
        try target.client.command("CONFIG", "SET", "maxmemory", "0")
        target.onLink { $0.send(batch) }
        guard case .outcome(.applied([])) = try target.nextEvent() else { throw LabError("it is applied") }
        #expect(try target.text("GET", "a") == "1")
    }

    @Test func `an EXECABORT for a transient reason is transient, too`() {
        #expect(TargetError.isTransientReply("OOM command not allowed when used memory > 'maxmemory'."))
        #expect(TargetError.isTransientReply("EXECABORT Transaction discarded because of: OOM command not allowed"))
        #expect(TargetError.isTransientReply("EXECABORT Transaction discarded because of: READONLY You can't write"))
        #expect(TargetError.reply("ERR max number of clients reached", to: "AUTH").code == .notReady)
        #expect(!TargetError.isTransientReply("EXECABORT Transaction discarded because of previous errors."))
        #expect(!TargetError.isTransientReply("WRONGTYPE Operation against a key"))
    }

    @Test func `a target that allows no MULTI rejects the batch as a whole`() async throws {
        let target = try await TargetUnderTest()
        try target.client.command("ACL", "SETUSER", "default", "-multi")
        guard case .rejected(let text) = try target.send(batch("SET a 1", "SET b 2")) else {
            throw LabError("it is rejected")
        }
        #expect(text.hasPrefix("NOPERM"))
    }

    /// A link to a server that answers the first of two batches, and resets the connection.
    @Test func `an answer is still read if the target resets the connection after it`() async throws {
        let server = try ScriptedServer { connection in
            var text = ""
            while text.ranges(of: "EXEC").count < 2 { text += connection.receive() }
            connection.send("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
            connection.closesWithReset()
        }
        let socket = try await Dialer.connect(
            to: Endpoint(host: "127.0.0.1", port: server.port), timeout: .seconds(10))
        let queue = DispatchQueue(label: "test.link")
        let (outcomes, losses) = (Lock<[BatchOutcome]>([]), Lock<[TargetError]>([]))
        let batches = [batch("SET a 1"), batch("SET b 2")]
        for batch in batches { batch.seal(checkpoint: nil) }
        let link = queue.sync {
            let link = TransactionLink(
                socket: socket, peer: "the target", queue: queue,
                onOutcome: { _, outcome in outcomes.withLock { $0.append(outcome) } },
                onLost: { error in losses.withLock { $0.append(error) } }, onRoom: {})
            for batch in batches { link.send(batch) }
            // Answer and reset have arrived before the socket is read.
            blockThread(for: .milliseconds(300))
            return link
        }
        try wait(until: "the connection is lost") { losses.withLock { $0.count } == 1 }
        queue.sync { #expect(link.hasFailed) }
        #expect(outcomes.withLock { $0 } == [.applied([])])
    }

    @Test func `several batches are applied in their order, and each has its own outcome`() async throws {
        let target = try await TargetUnderTest(setUp: [["SET", "s", "v"]])
        let batches = [batch("SET a 1", "APPEND a x"), batch("LPUSH s x", "NOSUCH"), batch("APPEND a y", "LPUSH s x")]
        for batch in batches { target.seal(batch) }
        target.onLink { link in
            #expect(link.room > 0)
            for batch in batches { link.send(batch) }
            #expect(!link.isIdle)
        }
        var outcomes: [BatchOutcome] = []
        for _ in batches {
            guard case .outcome(let outcome) = try target.nextEvent() else { throw LabError("the link is up") }
            outcomes.append(outcome)
        }
        #expect(outcomes[0] == .applied([]))
        guard case .refused(let refusals) = outcomes[1], case .applied(let found) = outcomes[2] else {
            throw LabError("the second is refused, the third applied: \(outcomes)")
        }
        #expect(refusals.map(\.command) == [1])
        #expect(found.map(\.command) == [1])
        #expect(try target.text("GET", "a") == "1xy")
        #expect(try target.checkpoint == 3)
        target.onLink { #expect($0.isIdle && $0.silence == .zero) }
    }

    @Test func `a target with a long round trip gets larger batches, up to a few MiB`() {
        var trips = RoundTrips()
        let start = ContinuousClock.now
        #expect(trips.windowBytes == RoundTrips.leastWindowBytes)
        for (asked, answered) in [(0, 50), (100, 3000), (4000, 4051)] {
            trips.asked(at: start + .milliseconds(asked))
            trips.answered(at: start + .milliseconds(answered))
        }
        // A single slow answer is no long round trip.
        #expect(trips.windowBytes > 3_000_000 && trips.windowBytes <= RoundTrips.mostWindowBytes)
        #expect(trips.batchBytes > 1_000_000 && trips.batchBytes <= RoundTrips.mostWindowBytes / 2)
        trips.asked(at: start)
        trips.answered(at: start + .microseconds(100))
        #expect(trips.windowBytes < 600_000)
    }

    @Test func `each reply is assigned to its command, batch after batch`() async throws {
        let target = try await TargetUnderTest()
        for round in 1...50 {
            let batch = CommandBatch()
            for number in 0..<(round * 7 % 40 + 1) {
                // Each fifth meets a key of another type.
                batch.append(
                    number % 5 == 3 ? "LPUSH" : "SET", Array((number % 5 == 3 ? "k0" : "k\(number)").utf8),
                    [UInt8](repeating: UInt8(ascii: "v"), count: number * 300))
            }
            let count = batch.commandCount
            guard case .applied(let found) = try target.send(batch) else { throw LabError("it is applied") }
            #expect(found.map(\.command) == (0..<count).filter { $0 % 5 == 3 })
            #expect(try target.checkpoint == round)
        }
    }

    // MARK: Large commands

    @Test func `a long argument is written while it is being built, and is not kept`() async throws {
        let target = try await TargetUnderTest()
        let (piece, pieces) = ([UInt8](repeating: 7, count: 100_000), 200)
        let batch = batch("SET before 1")
        batch.beginLongCommand("SET", label: "SET big", argumentBytes: piece.count * pieces) { $0.append("big") }
        target.onLink { $0.send(batch) }
        var largest = 0
        for _ in 0..<pieces {
            // As an applier does: no more than a batch's worth waits.
            try wait(until: "there is room") { target.onLink { _ in batch.bytes.count < 1 << 20 } }
            target.onLink { link in
                batch.bytes.append(piece.span.bytes)
                link.batchGrew()
                largest = max(largest, batch.bytes.count)
            }
        }
        target.onLink { link in
            batch.endLongCommand()
            target.seal(batch)
            link.batchGrew()
        }
        guard case .outcome(.applied([])) = try target.nextEvent() else { throw LabError("it is applied") }
        #expect(try target.integer("STRLEN", "big") == piece.count * pieces)
        #expect(try target.text("GET", "before") == "1")
        #expect(try target.checkpoint == 1)
        #expect(!batch.isRetained)
        #expect(largest < 2 << 20)
        #expect(batch.label(ofCommand: 1).description == "SET big")
    }

    // MARK: Loss

    @Test func `an unanswered batch stays with its owner if the target dies`()
        async throws
    {
        let target = try await TargetUnderTest()
        target.redis.pause()
        let batch = batch("SET a 1")
        target.seal(batch)
        target.onLink { $0.send(batch) }
        target.redis.kill()
        guard case .lost(let error) = try target.nextEvent() else { throw LabError("it is lost") }
        #expect(error.isTransient)
        target.onLink { link in
            #expect(link.hasFailed)
            #expect(link.batch === batch)
            #expect(batch.isRetained && batch.isSealed)
        }
    }

    @Test func `a link that its owner closes on an outcome is not read any further`() async throws {
        // The owner closes the link inside the callback, as it does on a transient refusal.
        let target = try await TargetUnderTest()
        let batch = batch("SET a 1", "NOSUCH")
        target.closesOnOutcome = true
        guard case .refused = try target.send(batch) else { throw LabError("it is refused") }
        target.onLink { link in #expect(link.hasFailed) }
    }
}
