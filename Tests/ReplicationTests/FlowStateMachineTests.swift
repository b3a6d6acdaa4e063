import Dragonfly
import Redis
import Testing

@testable import Replication

private typealias Script = FlowScript

extension CommandBatch {
    fileprivate var checkpoint: String? { checkpointValue.map { String(decoding: $0, as: UTF8.self) } }
}

@Suite struct `A flow's machine` {
    private let flush = FlowStateMachine.Decoded.halted(.global(.flushAll, transactionID: 7))
    private let fault = FlowStateMachine.Decoded.halted(.failure(ReplicationError(.undecodable, "opcode 99")))

    // MARK: The beginning, and batches

    @Test func `decodes nothing before it is connected`() {
        let script = Script()
        script.bytes()
        script.expect("wait")
        script.linkUp(script.confirmed)
        script.expect("decode")
    }

    @Test func `does not begin at a position that something else has moved`() {
        let script = Script(at: 5)
        script.linkUp("stable id 1 9")
        script.expect(
            "report failed: something else has moved this task's checkpoint: it is \"stable id 1 9\"", "wait")
    }

    @Test func `begins at any position where it may repeat`() {
        let script = Script(at: 5, repeating: true)
        script.linkUp("stable id 1 9")
        script.expect("decode")
    }

    @Test func `sends a batch at once in a quiet flow, and lets one gather in a busy one`() {
        let (script, first) = Script.sending()
        script.bytes()
        // Decoding goes on while a batch is on its way.
        script.expect("decode")
        script.decoded(.nothingMore)
        script.fill.hasContent = true
        script.expect("wait")
        script.complete(first)
        script.expect("wake", "wait")
        script.now += SendSchedule.linger
        script.resume()
        script.expect("send")
    }

    @Test func `sends a full batch at once, and decodes no more before it can`() {
        let (script, first) = Script.sending()
        script.bytes()
        script.expect("decode")
        script.decoded(.more)
        script.fill = .init(isFull: true, hasContent: true)
        script.expect("wait")
        script.complete(first)
        script.expect("send")
    }

    @Test func `waits for its turn where the pace is limited`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(.nothingMore)
        script.fill.hasContent = true
        script.expect("send")
        script.pace()
        script.expect("wait")
        script.resume()
        script.expect("send")
    }

    // MARK: A batch in doubt

    @Test func `in doubt and applied is confirmed, and not sent again`() {
        let (script, batch) = Script.sending()
        script.lose()
        script.expect("report targetLost", "connect after 0", "wait")
        script.linkUp(batch.checkpoint)
        script.expect("confirmInDoubt", "wait")
        script.complete(batch)
        script.expect("report targetFound", "wait")
        #expect(script.confirmed == batch.checkpoint)
    }

    @Test func `in doubt and not applied is sent again, and the target is lost until it is applied`() {
        let (script, batch) = Script.sending()
        let before = script.confirmed
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(before)
        script.expect("resend: silence", "wait")
        script.send(batch)
        script.lose(losses: 1)
        script.expect("connect after 1")
        script.linkUp(before)
        script.expect("resend: silence", "wait")
        script.send(batch)
        script.complete(batch)
        script.expect("report targetFound", "wait")
    }

    @Test(arguments: [
        ("stable id 1 1000000", "is \"stable id 1 1000000\""), (nil, "is gone"),
        ("stable other 1 1", "is \"stable other 1 1\""),
    ])
    func `in doubt at a target that is another, empty or older ends the flow`(_ found: String?, _ words: String) {
        let (script, _) = Script.sending()
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(found)
        script.expect("report failed: the target came back with other data: its checkpoint \(words)", "wait")
    }

    @Test func `in doubt with its position in a file is repeated, unless the target has been restarted`() {
        let (script, batch) = Script.sending(store: .file(every: .seconds(1)))
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(nil)
        script.expect("resend: silence")
        #expect(batch.mayHaveBeenApplied)
        let (other, _) = Script.sending(store: .file(every: .seconds(1)))
        other.lose()
        other.expect("report targetLost", "connect after 0")
        other.linkUp(nil, run: "run-2")
        other.expect(
            "report failed: the target has been restarted, and a checkpoint in a file does not say what it has lost",
            "wait")
    }

    // MARK: What a loss says of the batch

    @Test func `a complaint of the target is evidence, a restart or a wait for it is none`() {
        func evidence(_ words: String?, run: String = Script.runID, atFirst: Bool = true) -> String {
            let (script, _) = Script.sending()
            let before = script.confirmed
            script.lose(words)
            script.expect("report targetLost", "connect after 0")
            script.linkUp(before, run: run, atFirst: atFirst)
            for text in ["complaint", "silence", "elsewhere"] {
                // One of them is next.
                if script.isNext("resend: \(text)") { return text }
            }
            return "nothing"
        }
        #expect(evidence("ERR Protocol error: invalid bulk length") == "complaint")
        #expect(evidence(nil) == "silence")
        #expect(evidence("ERR something else") == "silence")
        #expect(evidence("ERR Protocol error: invalid bulk length", run: "run-2") == "elsewhere")
        #expect(evidence("ERR Protocol error: invalid bulk length", atFirst: false) == "elsewhere")
    }

    @Test func `the run of a restarted target is the one to compare with from then on`() {
        let (script, batch) = Script.sending()
        let before = script.confirmed
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(before, run: "run-2")
        script.expect("resend: elsewhere")
        script.send(batch)
        script.lose()
        script.expect("connect after 0")
        script.linkUp(before, run: "run-2")
        script.expect("resend: silence")
    }

    @Test func `a part of a batch takes the batch's place`() {
        let (script, batch) = Script.sending()
        let before = script.confirmed
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(before)
        script.expect("resend: silence")
        let part = script.batch()
        script.send(part)
        script.lose()
        script.expect("connect after 0")
        script.linkUp(part.checkpoint)
        script.expect("confirmInDoubt")
        _ = batch
    }

    // MARK: The link

    @Test func `an idle connection that the target closes is made again at once, and silently`() {
        let script = Script.idle()
        script.lose()
        script.expect("connect after 0 at once", "wait")
        script.linkUp(script.confirmed)
        script.expect("wait")
    }

    @Test func `an idle connection that cannot be made again is a loss, reported once`() {
        let script = Script.idle()
        script.lose()
        script.expect("connect after 0 at once")
        script.attemptFails()
        script.expect("report targetLost", "wait")
        script.attemptFails()
        script.expect("wait")
        script.linkUp(script.confirmed)
        script.expect("report targetFound", "wait")
    }

    @Test func `a target that comes back older is noticed with nothing on its way, too`() {
        let script = Script.idle(at: 5)
        script.lose()
        script.expect("connect after 0 at once")
        script.linkUp("stable id 1 3")
        script.expect(
            "report failed: the target came back with other data: its checkpoint is \"stable id 1 3\"", "wait")
    }

    @Test func `a batch that is turned away comes again after growing waits, and is a loss reported once`() {
        let (script, batch) = Script.sending()
        let before = script.confirmed
        for refusal in 1...3 {
            script.turnAway(batch)
            if refusal == 1 { script.expect("report targetLost") }
            script.expect("connect after \(refusal)", "wait")
            script.linkUp(before)
            script.expect("resend: elsewhere", "wait")
            script.send(batch)
        }
        script.complete(batch)
        script.expect("report targetFound", "wait")
        script.turnAway(script.sendRecord())
        script.expect("report targetLost", "connect after 1")
    }

    @Test func `a target that does not speak the protocol ends the flow`() {
        let (script, _) = Script.sending()
        script.lose(.none, .protocolViolation)
        script.expect("report failed: reset", "wait")
    }

    // MARK: Long commands

    @Test func `a long command is written while it grows, and sealed when it is complete`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(.more)
        script.fill = .init(isFull: true, isInCommand: true, hasContent: true)
        script.expect("begin")
        script.begin(CommandBatch())
        script.expect("wait")
        script.hasRoom()
        script.fill.isFull = false
        script.expect("decode")
        script.decoded(.nothingMore)
        script.expect("grow", "wait")
        script.bytes()
        script.expect("decode")
        script.fill.isInCommand = false
        script.decoded(.nothingMore)
        script.expect("seal")
        script.seal()
        script.expect("wait")
    }

    @Test func `a long command is sealed before the flow waits for others, or ends`() {
        for pause in [flush, fault] {
            let script = growing()
            script.fill = .init(isFull: false, isInCommand: false, hasContent: true)
            script.decoded(pause)
            script.expect("seal")
        }
    }

    @Test func `nothing more of a long command's batch is written while a database is prepared`() {
        let script = growing()
        script.fill = .init(isFull: true, isInCommand: false, hasContent: true)
        script.decoded(.databases)
        script.expect("prepareDatabases", "wait")
        script.decoded(.more)
        script.expect("seal")
    }

    @Test func `a fault in the middle of a long command ends the flow`() {
        let script = growing()
        script.decoded(fault)
        script.expect("report failed: opcode 99", "wait")
    }

    @Test func `a long command whose connection ends is not sent again`() {
        let script = growing()
        script.lose()
        script.expect("failLong")
    }

    private func growing() -> Script {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(.more)
        script.fill = .init(isFull: true, isInCommand: true, hasContent: true)
        script.expect("begin")
        script.begin(CommandBatch())
        return script
    }

    // MARK: Waiting for others

    @Test func `a global command waits for what comes before it, and the flow for the others`() {
        let (script, batch) = Script.sending()
        script.bytes()
        script.expect("decode")
        script.decoded(flush)
        script.fill.hasContent = true
        script.expect("wait")
        script.complete(batch)
        script.expect("send")
        script.fill.hasContent = false
        let second = script.batch()
        script.send(second)
        script.expect("wait")
        #expect(!script.globalDone(9), "it has not been reported")
        script.complete(second)
        script.expect("report reachedGlobal FLUSHALL", "wait")
        script.bytes()
        script.expect("wait")
        #expect(!script.hasMore())
        #expect(script.globalDone(9))
        script.expect("decode")
        #expect(script.confirmed == "stable id 1 9")
    }

    @Test func `a global command is applied while the link is down, and its checkpoint is the confirmed one`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(flush)
        script.expect("report reachedGlobal FLUSHALL")
        script.lose()
        script.expect("connect after 0 at once")
        #expect(script.globalDone(9))
        script.linkUp("stable id 1 9")
        script.expect("decode")
    }

    @Test func `a link that is lost at a global command comes back to it`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(flush)
        script.expect("report reachedGlobal FLUSHALL")
        script.lose()
        script.expect("connect after 0 at once")
        script.linkUp(script.confirmed)
        script.expect("wait")
        #expect(script.globalDone(9))
        script.expect("decode")
    }

    @Test func `a database is waited for before anything is sent`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.fill.hasContent = true
        script.decoded(.databases)
        script.expect("prepareDatabases", "wait")
        script.bytes()
        script.expect("wait")
        script.decoded(.more)
        script.expect("decode")
    }

    @Test func `answers are waited for, over a loss as well`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(.halted(.questions))
        script.expect("probe", "wait")
        script.lose()
        script.expect("connect after 0 at once")
        script.decoded(.more)
        script.expect("wait")
        script.linkUp(script.confirmed)
        script.expect("decode")
    }

    // MARK: The end

    @Test func `what was decoded before a fault is applied, then the flow ends`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.fill.hasContent = true
        script.decoded(fault)
        script.expect("send")
        let batch = script.batch()
        script.send(batch)
        script.fill.hasContent = false
        script.expect("wait")
        script.complete(batch)
        script.expect("report failed: opcode 99", "wait")
        script.bytes()
        script.expect("wait")
    }

    @Test func `a flush inside the snapshot begins the session again`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(.halted(.restart(.flushAll)))
        script.expect("report mustRestart", "wait")
        script.lose()
        script.expect("wait")
    }

    @Test func `a drain ends when everything received is applied, and waits for no more`() {
        let (script, batch) = Script.sending()
        script.drain()
        script.expect("wait")
        script.bytes()
        script.expect("decode")
        script.decoded(.nothingMore)
        script.fill.hasContent = true
        script.complete(batch)
        // Without a moment for more.
        script.expect("send")
        let second = script.batch()
        script.send(second)
        script.fill.hasContent = false
        script.complete(second)
        script.expect("drained", "wait")
    }

    @Test func `a drain does not end while the target is away, but for its time`() {
        let (script, _) = Script.sending()
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.drain()
        script.expect("wait")
        #expect(script.hasMore())
        script.stopDraining()
        script.expect("wait")
    }

    @Test func `a drain at a global command that was reported has nothing more to apply`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(flush)
        script.expect("report reachedGlobal FLUSHALL")
        script.drain()
        script.expect("wait")
        #expect(!script.hasMore(isEmpty: false))
    }

    @Test func `quiet means nothing on its way, and nothing sent or decoded until the release`() {
        let (script, batch) = Script.sending()
        script.quiesce()
        script.expect("wait")
        script.complete(batch)
        script.expect("becameQuiet", "wait")
        script.bytes()
        script.fill.hasContent = true
        script.expect("wait")
        script.release()
        script.expect("decode")
    }

    @Test func `a flow with a batch in doubt is not quiet before its fate is known`() {
        let (script, batch) = Script.sending()
        let before = script.confirmed
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.quiesce()
        script.expect("wait")
        script.linkUp(before)
        script.expect("resend: silence", "wait")
        script.send(batch)
        script.expect("wait")
        script.complete(batch)
        script.expect("report targetFound", "becameQuiet", "wait")
    }

    @Test func `a flow that ends is quiet and drained`() {
        let (script, _) = Script.sending()
        script.quiesce()
        script.drain()
        script.fail()
        script.expect("becameQuiet", "drained", "report failed: stop", "wait")
        script.quiesce()
        script.drain()
        script.expect("becameQuiet", "drained", "wait")
    }

    // MARK: Closed

    /// Every way to a state in which a flow can be closed.
    fileprivate static var open: [(name: String, Script)] {
        let connecting = Script.sending().script
        connecting.lose()
        let global = Script.idle()
        global.bytes()
        global.expect("decode")
        global.decoded(.halted(.global(.flushAll, transactionID: 7)))
        let reported = Script.idle()
        reported.bytes()
        reported.expect("decode")
        reported.decoded(.halted(.global(.flushAll, transactionID: 7)))
        reported.expect("report reachedGlobal FLUSHALL")
        let failed = Script.idle()
        failed.fail()
        let probing = Script.idle()
        probing.bytes()
        probing.expect("decode")
        probing.decoded(.halted(.questions))
        return [
            ("new", Script()), ("idle", Script.idle()), ("sending", Script.sending().script),
            ("connecting", connecting), ("before a global command", global), ("at a global command", reported),
            ("probing", probing), ("failed", failed),
        ]
    }

    @Test func `does nothing once it is closed, in whatever state it was`() {
        for (name, script) in Self.open {
            script.close()
            script.bytes()
            script.decoded(.more)
            script.linkUp(script.confirmed)
            script.lose()
            script.hasRoom()
            script.resume()
            script.fail()
            script.turnAway(CommandBatch())
            script.fill = .init(isFull: true, hasContent: true)
            #expect(script.isNext("wait"), "\(name)")
            #expect(!script.hasMore(isEmpty: false), "\(name)")
        }
    }

    @Test func `lets go of whoever waits when it is closed, in whatever state it was`() {
        for (name, script) in Self.open where name != "failed" {
            script.quiesce()
            script.drain()
            script.close()
            #expect(script.isNext("becameQuiet"), "\(name)")
            #expect(script.isNext("drained"), "\(name)")
            #expect(script.isNext("wait"), "\(name)")
        }
    }
}
