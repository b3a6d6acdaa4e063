import Dragonfly
import Redis
import Testing

@testable import Replication

private typealias Script = FlowScript

extension CommandBatch {
    fileprivate var checkpoint: String? { checkpointValue.map { String(decoding: $0, as: UTF8.self) } }
}

@Suite struct `A flow's state machine` {
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

    @Test func `begins at any position if it may repeat records`() {
        let script = Script(at: 5, repeating: true)
        script.linkUp("stable id 1 9")
        script.expect("decode")
    }

    @Test func `sends a batch at once if the flow is quiet, and lets it grow if the flow is busy`() {
        let (script, first) = Script.sending()
        script.bytes()
        // Decoding continues while a batch is in flight.
        script.expect("decode")
        script.decoded(.nothingMore)
        script.batchState.hasContent = true
        script.expect("wait")
        script.complete(first)
        script.expect("wake", "wait")
        script.now += SendSchedule.linger
        script.resume()
        script.expect("send")
    }

    @Test func `sends a full batch as soon as it can, and decodes nothing until then`() {
        let (script, first) = Script.sending()
        script.bytes()
        script.expect("decode")
        script.decoded(.more)
        script.batchState = .init(isFull: true, hasContent: true)
        script.expect("wait")
        script.complete(first)
        script.expect("send")
    }

    @Test func `waits for its turn if the pace is limited`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(.nothingMore)
        script.batchState.hasContent = true
        script.expect("send")
        script.pace()
        script.expect("wait")
        script.resume()
        script.expect("send")
    }

    // MARK: A batch in doubt

    @Test func `confirms a batch in doubt that was applied, and does not resend it`() {
        let (script, batch) = Script.sending()
        script.lose()
        script.expect("report targetLost", "connect after 0", "wait")
        script.linkUp(batch.checkpoint)
        script.expect("confirmInDoubt", "wait")
        script.complete(batch)
        script.expect("report targetFound", "wait")
        #expect(script.confirmed == batch.checkpoint)
    }

    @Test func `resends a batch in doubt that was not applied, and reports the target lost until it is applied`() {
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
    func `ends if a batch is in doubt at a target that is another one, empty or older`(
        _ found: String?, _ words: String
    ) {
        let (script, _) = Script.sending()
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(found)
        script.expect("report failed: the target came back with other data: its checkpoint \(words)", "wait")
    }

    @Test func `repeats a batch in doubt with the checkpoint in a file, unless the target was restarted`() {
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

    @Test func `takes a protocol error as a complaint, unless the target was restarted or unreachable`() {
        func evidence(_ words: String?, run: String = Script.runID, atFirst: Bool = true) -> String {
            let (script, _) = Script.sending()
            let before = script.confirmed
            script.lose(words)
            script.expect("report targetLost", "connect after 0")
            script.linkUp(before, run: run, atFirst: atFirst)
            for text in ["complaint", "silence", "unrelated"] {
                // One of them is next.
                if script.isNext("resend: \(text)") { return text }
            }
            return "nothing"
        }
        #expect(evidence("ERR Protocol error: invalid bulk length") == "complaint")
        #expect(evidence(nil) == "silence")
        #expect(evidence("ERR something else") == "silence")
        #expect(evidence("ERR Protocol error: invalid bulk length", run: "run-2") == "unrelated")
        #expect(evidence("ERR Protocol error: invalid bulk length", atFirst: false) == "unrelated")
    }

    @Test func `compares with the run id of a restarted target from then on`() {
        let (script, batch) = Script.sending()
        let before = script.confirmed
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.linkUp(before, run: "run-2")
        script.expect("resend: unrelated")
        script.send(batch)
        script.lose()
        script.expect("connect after 0")
        script.linkUp(before, run: "run-2")
        script.expect("resend: silence")
    }

    @Test func `treats a resent part of a batch as the batch in doubt`() {
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

    @Test func `silently reopens an idle connection that the target closes`() {
        let script = Script.idle()
        script.lose()
        script.expect("connect after 0 at once", "wait")
        script.linkUp(script.confirmed)
        script.expect("wait")
    }

    @Test func `reports a loss once if an idle connection cannot be reopened`() {
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

    @Test func `notices an older target even with no batch in flight`() {
        let script = Script.idle(at: 5)
        script.lose()
        script.expect("connect after 0 at once")
        script.linkUp("stable id 1 3")
        script.expect(
            "report failed: the target came back with other data: its checkpoint is \"stable id 1 3\"", "wait")
    }

    @Test func `resends a batch that is turned away after growing waits, and reports the loss once`() {
        let (script, batch) = Script.sending()
        let before = script.confirmed
        for refusal in 1...3 {
            script.refuseTemporarily(batch)
            if refusal == 1 { script.expect("report targetLost") }
            script.expect("connect after \(refusal)", "wait")
            script.linkUp(before)
            script.expect("resend: unrelated", "wait")
            script.send(batch)
        }
        script.complete(batch)
        script.expect("report targetFound", "wait")
        script.refuseTemporarily(script.sendRecord())
        script.expect("report targetLost", "connect after 1")
    }

    @Test func `ends at a target that violates the protocol`() {
        let (script, _) = Script.sending()
        script.lose(.none, .protocolViolation)
        script.expect("report failed: reset", "wait")
    }

    // MARK: Long commands

    @Test func `writes a long command while it grows, and seals it when it is complete`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(.more)
        script.batchState = .init(isFull: true, isInCommand: true, hasContent: true)
        script.expect("begin")
        script.begin(CommandBatch())
        script.expect("wait")
        script.hasRoom()
        script.batchState.isFull = false
        script.expect("decode")
        script.decoded(.nothingMore)
        script.expect("grow", "wait")
        script.bytes()
        script.expect("decode")
        script.batchState.isInCommand = false
        script.decoded(.nothingMore)
        script.expect("seal")
        script.seal()
        script.expect("wait")
    }

    @Test func `seals a long command before it waits for other flows or ends`() {
        for pause in [flush, fault] {
            let script = growing()
            script.batchState = .init(isFull: false, isInCommand: false, hasContent: true)
            script.decoded(pause)
            script.expect("seal")
        }
    }

    @Test func `writes no more of a long command's batch while a database is prepared`() {
        let script = growing()
        script.batchState = .init(isFull: true, isInCommand: false, hasContent: true)
        script.decoded(.databases)
        script.expect("prepareDatabases", "wait")
        script.decoded(.more)
        script.expect("seal")
    }

    @Test func `ends at a fault in the middle of a long command`() {
        let script = growing()
        script.decoded(fault)
        script.expect("report failed: opcode 99", "wait")
    }

    @Test func `does not resend a long command whose connection is lost`() {
        let script = growing()
        script.lose()
        script.expect("failLong")
    }

    private func growing() -> Script {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(.more)
        script.batchState = .init(isFull: true, isInCommand: true, hasContent: true)
        script.expect("begin")
        script.begin(CommandBatch())
        return script
    }

    // MARK: Waiting for others

    @Test func `applies earlier commands before a global command, and then waits for the other flows`() {
        let (script, batch) = Script.sending()
        script.bytes()
        script.expect("decode")
        script.decoded(flush)
        script.batchState.hasContent = true
        script.expect("wait")
        script.complete(batch)
        script.expect("send")
        script.batchState.hasContent = false
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

    @Test func `takes a global command's checkpoint as confirmed even if the link is down`() {
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

    @Test func `returns to a global command after the link is lost`() {
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

    @Test func `waits until a database is prepared before it sends anything`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.batchState.hasContent = true
        script.decoded(.databases)
        script.expect("prepareDatabases", "wait")
        script.bytes()
        script.expect("wait")
        script.decoded(.more)
        script.expect("decode")
    }

    @Test func `waits for the answers to its questions, even over a loss`() {
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

    @Test func `applies what was decoded before a fault, and then ends`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.batchState.hasContent = true
        script.decoded(fault)
        script.expect("send")
        let batch = script.batch()
        script.send(batch)
        script.batchState.hasContent = false
        script.expect("wait")
        script.complete(batch)
        script.expect("report failed: opcode 99", "wait")
        script.bytes()
        script.expect("wait")
    }

    @Test func `restarts the session at a flush inside the snapshot`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(.halted(.restart(.flushAll)))
        script.expect("report mustRestart", "wait")
        script.lose()
        script.expect("wait")
    }

    @Test func `ends a drain when everything received is applied`() {
        let (script, batch) = Script.sending()
        script.drain()
        script.expect("wait")
        script.bytes()
        script.expect("decode")
        script.decoded(.nothingMore)
        script.batchState.hasContent = true
        script.complete(batch)
        // In a drain the batch does not wait for more records.
        script.expect("send")
        let second = script.batch()
        script.send(second)
        script.batchState.hasContent = false
        script.complete(second)
        script.expect("drained", "wait")
    }

    @Test func `does not end a drain while the target is away, until its time is over`() {
        let (script, _) = Script.sending()
        script.lose()
        script.expect("report targetLost", "connect after 0")
        script.drain()
        script.expect("wait")
        #expect(script.hasMore())
        script.stopDraining()
        script.expect("wait")
    }

    @Test func `has nothing more to apply in a drain at a reported global command`() {
        let script = Script.idle()
        script.bytes()
        script.expect("decode")
        script.decoded(flush)
        script.expect("report reachedGlobal FLUSHALL")
        script.drain()
        script.expect("wait")
        #expect(!script.hasMore(isEmpty: false))
    }

    @Test func `is quiet when nothing is in flight, and sends and decodes nothing until the release`() {
        let (script, batch) = Script.sending()
        script.quiesce()
        script.expect("wait")
        script.complete(batch)
        script.expect("becameQuiet", "wait")
        script.bytes()
        script.batchState.hasContent = true
        script.expect("wait")
        script.release()
        script.expect("decode")
    }

    @Test func `is not quiet before the fate of a batch in doubt is known`() {
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

    @Test func `is quiet and drained when it fails`() {
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
            script.refuseTemporarily(CommandBatch())
            script.batchState = .init(isFull: true, hasContent: true)
            #expect(script.isNext("wait"), "\(name)")
            #expect(!script.hasMore(isEmpty: false), "\(name)")
        }
    }

    @Test func `releases whoever waits for it when it is closed, in whatever state it was`() {
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
