import Dragonfly
import Logging
import Redis

/// Runs a global command once, when all flows have reached it (Architecture 5).
@SessionActor
final class GlobalCommands {
    private let scope: SessionScope
    private let databases: TaskDatabases
    private let checkpoint: SessionCheckpoint
    private let reconciliation: ReconciliationRun
    private var barrier = GlobalBarrier(flowCount: 0)

    init(
        _ scope: SessionScope, databases: TaskDatabases, checkpoint: SessionCheckpoint,
        reconciliation: ReconciliationRun
    ) {
        self.scope = scope
        self.databases = databases
        self.checkpoint = checkpoint
        self.reconciliation = reconciliation
    }

    func expect(flowCount: Int) { barrier = GlobalBarrier(flowCount: flowCount) }

    /// Handles a flow that has applied everything before `command` and now waits; runs the command if it is the last flow
    /// to arrive.
    ///
    /// - Throws: `ReplicationError` if the flows are at different commands; `TargetError`.
    func reached(_ flow: FlowID, _ command: GlobalCommand, _ transactionID: UInt64) async throws {
        switch barrier.arrive(flow, command, transactionID: transactionID) {
        case .waiting: return
        case .mismatch(let expected, let found):
            throw ReplicationError(
                .undecodable, flow: flow, "the flows do not meet: this one is at \(found), others are at \(expected)")
        case .complete: try await run(command)
        }
    }

    private func run(_ command: GlobalCommand) async throws {
        let (task, flows, control) = (scope.task, scope.flows, scope.control)
        let position = await flows.positionAfterGlobal()
        let wasReconciling = reconciliation.isPending
        var fields = checkpoint.fields(at: position)
        if let note = await scope.dataSets.flushed(command), checkpoint.isInTarget {
            fields.append((DataSetNote.field, note.text))
        }
        var flush = databases.flush(command, fields: fields)
        flush.marks = NodeMarking.marks(await flows.nodeMarkings(next: position), task: task.settings.task)
        let outcome = try await scope.retry { [flush] in try await control.run(flush) }
        try await reconciliation.noteAgain(ifPendingBefore: wasReconciling)
        let left = outcome.left
        task.incidents.reportShared(left, command)
        if left.isEmpty, command == .flushAll {
            for applier in flows.appliers { try await applier.forgetBroughtKeys() }
        }
        task.logger.notice("\(command.name) applied", metadata: ["phase": "\(scope.sync.phase.rawValue)"])
        barrier.reset()
        await task.checkpointStore.store(position, isExact: false)
        if !left.isEmpty, task.settings.mode == .replicate { throw ReplicationError(dataReplaced: .keysLeft(left)) }
        for applier in flows.appliers {
            await applier.nodesMarked(outcome.marked)
            await applier.resumeAfterGlobal()
        }
    }
}
