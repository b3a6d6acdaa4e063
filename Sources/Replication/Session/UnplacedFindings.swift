import Dragonfly
import Link
import Logging

/// Keys that were found to differ, and of which the flows have not shown which shard they are in: the source is asked.
///
/// With a tag in its name a key is in the shard of its tag or of its whole name, as flags of the source say that nobody can
/// read. `DEBUG OBJECT` gives the shard of a key. Of a key that the source does not have, other keys decide; before any
/// has, the mode that the source says it is in: there is nothing to be put into the stream too late, but a removal.
@SessionActor
final class UnplacedFindings {
    private static let pause = Duration.seconds(1)
    /// More wait for the next pass.
    private nonisolated static let most = 10_000

    private let task: TaskContext
    private let onPlaced: @Sendable (Scrub.Finding, FlowID) -> Void
    private let onUnplaced: @Sendable () -> Void
    private let reader: ValueReader?
    private let waiting = Lock<[Scrub.Finding]>([])
    private var placement: KeyPlacement
    private var isForbidden = false

    /// - Parameters:
    ///   - onPlaced: called with a finding and the flow of its shard.
    ///   - onUnplaced: called for one of which the source says no shard, or for which there is no room.
    init(
        _ placement: KeyPlacement, _ task: TaskContext, _ flows: SessionFlows,
        onPlaced: @escaping @Sendable (Scrub.Finding, FlowID) -> Void, onUnplaced: @escaping @Sendable () -> Void
    ) {
        (self.placement, self.task, self.onPlaced, self.onUnplaced) = (placement, task, onPlaced, onUnplaced)
        reader = flows.replicationID.map {
            ValueReader(
                settings: task.settings.source, replicationID: $0, flowCount: flows.appliers.count,
                socketStore: task.settings.socketStore, socketName: KeptSocketName.placement)
        }
    }

    nonisolated func add(_ finding: Scrub.Finding) {
        let isKept = waiting.withLock { waiting in
            guard waiting.count < Self.most else { return false }
            waiting.append(finding)
            return true
        }
        if !isKept { onUnplaced() }
    }

    /// Until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            await place()
            try? await Task.sleep(for: Self.pause)
        }
    }

    func finish() async {
        await place()
        await reader?.close()
    }

    private func place() async {
        let findings = waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        for finding in findings {
            guard let flow = await flow(of: finding) else {
                onUnplaced()
                continue
            }
            onPlaced(finding, flow)
        }
    }

    private func flow(of finding: Scrub.Finding) async -> FlowID? {
        let key = finding.key.key
        if let flow = placement.flow(of: key) { return flow }
        guard let reader, !Task.isCancelled else { return nil }
        do throws(SourceError) {
            if !isForbidden, let flow = try await reader.shard(of: key, in: finding.key.database) {
                placement.learn(key, isIn: flow)
                return flow
            }
            guard finding.isExtra else { return nil }
            var assumed = placement
            assumed.assume(hashesTags: try await reader.hashesTags())
            return assumed.flow(of: key)
        } catch {
            if error.code == .permission {
                isForbidden = true
                task.incidents.reportOnce(
                    "\(error): until then some keys with a {tag} in their names that differ are only counted, since their shard is not known",
                    level: .warning)
            }
            return nil
        }
    }
}
