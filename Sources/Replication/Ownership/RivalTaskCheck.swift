package import Dragonfly
package import Redis

/// Checks whether another task's process follows the source into the target already, or such a task was cut over, before a
/// task starts: nothing is written.
package struct RivalTaskCheck {
    private let source: SourceSettings
    private let target: TargetSettings
    private let checkpoint: CheckpointKey
    private let policy: ReplicationPolicy

    package init(
        source: SourceSettings, target: TargetSettings, checkpoint: CheckpointKey, policy: ReplicationPolicy
    ) {
        (self.source, self.target, self.checkpoint, self.policy) = (source, target, checkpoint, policy)
    }

    /// - Returns: why a start would be refused, `taskTaken` or `cutOver`; `nil` if no reason is known here. Other parts of a
    ///   preflight report a server that does not answer.
    package func refusal() async -> TargetError? {
        let inspector = SourceInspector(settings: source, socketStore: NoSocketStore())
        let replicationID = try? await inspector.replicationID()
        await inspector.close()
        guard let replicationID else { return nil }
        let control = TargetControl(connector: TargetConnector(settings: target), role: "preflight")
        let refusal: TargetError?
        do throws(TargetError) {
            try await RivalTasks(registry: TaskRegistry(checkpoint: checkpoint.name), control: control)
                .requireNone(following: replicationID, filling: policy.scope(over: []))
            refusal = nil
        } catch {
            refusal = [.taskTaken, .cutOver].contains(error.code) ? error : nil
        }
        await control.close()
        return refusal
    }
}
