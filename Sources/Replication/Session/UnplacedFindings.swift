import Dragonfly
import Link
import Logging

/// Keys that were found to differ and whose shard the flows have not shown. The source is asked for the shard.
///
/// A key with a hash tag is in the shard of its tag or in that of its whole name, depending on flags of the source that
/// nobody can read. `DEBUG OBJECT` reports the shard of an existing key. For a key that the source does not have, the
/// shards of other keys decide. If none is known yet, the mode that the source reports decides: for such a key, only a
/// removal could enter the stream too late, never a value.
@SessionActor
final class UnplacedFindings {
    private static let pause = Duration.seconds(1)
    /// The limit of waiting findings. Further ones wait for the next pass.
    private nonisolated static let most = 10_000

    private let task: TaskContext
    private let onPlaced: @Sendable (Verifier.Finding, FlowID) -> Void
    private let onUnplaced: @Sendable () -> Void
    private let reader: ValueReader?
    private let waiting = Lock<[Verifier.Finding]>([])
    private var placement: KeyPlacement
    private var isForbidden = false

    /// - Parameters:
    ///   - onPlaced: called with a finding and the flow of its shard.
    ///   - onUnplaced: called for a finding whose shard the source does not report, or for which there is no room.
    init(
        _ placement: KeyPlacement, _ task: TaskContext, _ flows: SessionFlows,
        onPlaced: @escaping @Sendable (Verifier.Finding, FlowID) -> Void, onUnplaced: @escaping @Sendable () -> Void
    ) {
        (self.placement, self.task, self.onPlaced, self.onUnplaced) = (placement, task, onPlaced, onUnplaced)
        reader = flows.replicationID.map {
            ValueReader(
                settings: task.settings.source, replicationID: $0, flowCount: flows.appliers.count,
                socketStore: task.settings.socketStore, socketName: StoredSocketName.placement)
        }
    }

    nonisolated func add(_ finding: Verifier.Finding) {
        let isKept = waiting.withLock { waiting in
            guard waiting.count < Self.most else { return false }
            waiting.append(finding)
            return true
        }
        if !isKept { onUnplaced() }
    }

    /// Places the findings that wait, until it is cancelled.
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

    private func flow(of finding: Verifier.Finding) async -> FlowID? {
        let key = finding.key.key
        if let flow = placement.flow(of: key) { return flow }
        guard let reader, !Task.isCancelled else { return nil }
        do throws(SourceError) {
            if !isForbidden, let flow = try await reader.shard(of: key, in: finding.key.database) {
                placement.learn(key.span.bytes, isIn: flow)
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
