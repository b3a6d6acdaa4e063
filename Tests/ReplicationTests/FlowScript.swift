import Dragonfly
import Link
import Logging
import Redis
import Testing
import Wire

@testable import Replication

/// A flow's state machine, driven by hand: the test reports events and reads the next action.
final class FlowScript {
    private var machine: FlowStateMachine
    var batchState = FlowStateMachine.BatchState()
    var now = ContinuousClock.now
    private var nextLSN: UInt64 = 1
    /// The next action, if the test has read it but not taken it.
    private var upcoming: String?

    static let runID = "run-1"

    /// - Parameters:
    ///   - position: where a continued flow begins; `nil` for a full sync.
    ///   - outOfStreamCount: the count of writes beside the stream before that.
    init(
        at position: UInt64? = 1, outOfStreamCount: UInt64 = 0, store: CheckpointSettings.Store = .target,
        repeating: Bool = false
    ) {
        let scene = EncoderScene(context: {
            $0.checkpoint.store = store
            $0.targetRunID = FlowScript.runID
        })
        var commits = CommitTracker(FlowID(0), context: scene.context)
        if let position {
            commits.setResumePoint(
                StreamMark(next: LSN(position), outOfStreamCount: outOfStreamCount), repeating: repeating)
            nextLSN = position
        }
        machine = FlowStateMachine(flow: FlowID(0), commits: commits, targetRunID: FlowScript.runID)
    }

    /// A flow that is connected, with nothing to do.
    static func idle(at position: UInt64 = 1, store: CheckpointSettings.Store = .target) -> FlowScript {
        let script = FlowScript(at: position, store: store)
        script.linkUp(script.confirmed)
        script.expect("decode")
        script.decoded(.nothingMore)
        script.expect("wait")
        return script
    }

    /// A flow that has sent a batch and waits for the outcome.
    static func sending(store: CheckpointSettings.Store = .target) -> (script: FlowScript, batch: CommandBatch) {
        let script = FlowScript.idle(store: store)
        return (script, script.sendRecord())
    }

    // MARK: What happens

    var confirmed: String? { machine.commits.confirmed }
    func linkUp(
        _ checkpoint: String?, outOfStreamCount: UInt64 = 0, run: String = FlowScript.runID, atFirst: Bool = true
    ) {
        let finding = FlowTargetFinding(runID: run, checkpoint: checkpoint, outOfStreamCount: outOfStreamCount)
        machine.linkUp(finding, isAtFirstAttempt: atFirst)
    }
    func bytes() { machine.bytesAvailable() }
    func decoded(_ result: FlowStateMachine.Decoded) { machine.decoded(result) }
    func lose(_ words: String? = nil, losses: Int = 0, _ code: TargetError.Code = .unreachable) {
        machine.linkLost(TargetError(code, "reset").after(words: words), losses: losses)
    }
    func attemptFails() { machine.connectingFailed(TargetError(.unreachable, "refused")) }
    func complete(_ batch: CommandBatch) {
        machine.confirm(batch)
        machine.completed()
    }
    func refuseTemporarily(_ batch: CommandBatch) { machine.temporarilyRefused(batch, "OOM") }
    func send(_ batch: CommandBatch) { machine.sent(batch, at: now) }
    func join(_ batch: CommandBatch) { machine.joined(batch, at: now) }
    func holdBack() { machine.heldBack() }
    func begin(_ batch: CommandBatch) { machine.began(batch) }
    func seal() { machine.sealed() }
    func hasRoom() { machine.hasRoom() }
    func quiesce() { machine.quiesce() }
    func release() { machine.release() }
    func drain() { machine.drain() }
    func stopDraining() { machine.stopDraining() }
    func pace() { machine.mustPace() }
    func resume() { machine.resume() }
    func globalDone(_ next: UInt64) -> Bool { machine.globalDone(next: LSN(next)) }
    func fail() { machine.fail(ReplicationError(.policy, "stop")) }
    func close() { machine.close() }

    func hasMore(isEmpty: Bool = true) -> Bool { machine.hasMore(batchState, isEmpty: isEmpty) }

    /// A sealed batch of one record.
    func batch() -> CommandBatch {
        let batch = CommandBatch()
        batch.beginJournal()
        batch.append("INCR", Array("n".utf8))
        batch.endRecord()
        nextLSN += 1
        batch.progress.nextLSN = nextLSN
        machine.seal(batch)
        return batch
    }

    /// A sealed batch of a value that was read at the source: it does not move the position.
    func refreshBatch() -> CommandBatch {
        let batch = CommandBatch()
        batch.beginJournal()
        batch.append("UNLINK", Array("k".utf8))
        batch.progress.refreshes = 1
        batch.progress.nextLSN = nextLSN
        machine.seal(batch)
        return batch
    }

    /// A sealed batch of one value of the snapshot.
    func valueBatch() -> CommandBatch {
        let batch = CommandBatch()
        batch.append("SET", Array("k".utf8), Array("v".utf8))
        batch.noteUnordered()
        machine.seal(batch)
        return batch
    }

    /// Lets a record arrive, and sends it.
    func sendRecord() -> CommandBatch {
        bytes()
        expect("decode")
        decoded(.nothingMore)
        batchState.hasContent = true
        now += .seconds(1)
        expect("send")
        let batch = batch()
        send(batch)
        batchState.hasContent = false
        expect("wait")
        return batch
    }

    // MARK: What is to be done

    /// Returns whether `action` is the next action, and takes it if so.
    func isNext(_ action: String) -> Bool {
        if upcoming == nil { upcoming = machine.next(batchState, at: now).text }
        guard upcoming == action else { return false }
        upcoming = nil
        return true
    }

    func expect(_ actions: String..., at location: SourceLocation = #_sourceLocation) {
        for action in actions {
            let next = upcoming ?? machine.next(batchState, at: now).text
            upcoming = nil
            #expect(next == action, sourceLocation: location)
        }
    }
}

extension FlowStateMachine.Action {
    fileprivate var text: String {
        switch self {
        case .wait: "wait"
        case .wake: "wake"
        case .decode: "decode"
        case .send: "send"
        case .sendAgain(let batch): "send again \(String(decoding: batch.checkpointValue ?? [], as: UTF8.self))"
        case .begin: "begin"
        case .grow: "grow"
        case .seal: "seal"
        case .connect(let plan): "connect after \(plan.attemptsBefore)\(plan.isAtOnce ? " at once" : "")"
        case .confirmInDoubt: "confirmInDoubt"
        case .resend(_, let evidence, _): "resend: \(evidence)"
        case .failLong: "failLong"
        case .probe: "probe"
        case .prepareDatabases: "prepareDatabases"
        case .report(let event): "report \(event.text)"
        case .becameQuiet: "becameQuiet"
        case .drained: "drained"
        }
    }
}

extension FlowEvent {
    fileprivate var text: String {
        switch self {
        case .snapshotCompleted: "snapshotCompleted"
        case .stable: "stable"
        case .reachedDatabase: "reachedDatabase"
        case .reachedGlobal(_, let command, _): "reachedGlobal \(command.name)"
        case .mustRestart: "mustRestart"
        case .targetLost: "targetLost"
        case .targetFound: "targetFound"
        case .failed(let error): "failed: \(error.message)"
        }
    }
}
