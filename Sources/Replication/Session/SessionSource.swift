import Dispatch
import Dragonfly

/// The session's side of the source: the replication session there, and an ordinary connection for questions.
@SessionActor
final class SessionSource {
    /// How long without an answer to PING on the main connection until the source counts as lost.
    private static let pingTimeout = Duration.seconds(30)

    let inspector: SourceInspector
    private let settings: ReplicatorSettings
    private let events: SessionEvents
    private let sideTasks: SideTasks
    private let counters: TaskCounters
    /// `nil` before the handshake.
    private(set) var master: MasterSession?

    init(settings: ReplicatorSettings, events: SessionEvents, sideTasks: SideTasks, counters: TaskCounters) {
        self.settings = settings
        self.events = events
        self.sideTasks = sideTasks
        self.counters = counters
        inspector = SourceInspector(settings: settings.source, socketStore: settings.socketStore)
    }

    /// The handshake.
    ///
    /// - Parameter resumePoint: where to resume; `nil`: a full sync is asked for.
    /// - Throws: `SourceError`.
    func open(
        at resumePoint: ResumePoint?
    ) async throws -> (
        master: MasterSession, session: SessionStateMachine.Session, modes: [SessionStateMachine.FlowMode]
    ) {
        let master = MasterSession(
            settings: settings.source, resumePoint: resumePoint, socketStore: settings.socketStore,
            clock: settings.clock, onEvent: { [events] in events.report(.connection($0)) })
        self.master = master
        let (session, modes) = try await master.open()
        return (master, session, modes)
    }

    /// - Returns: `true` when it was the last snapshot, and the source has switched to the journal.
    /// - Throws: `SourceError`.
    func snapshotCompleted(_ flow: FlowID) async throws -> Bool {
        try await master?.snapshotCompleted(flow) ?? false
    }

    /// From here on the source learns what of a flow is applied.
    func startAcknowledging(_ applier: FlowApplier, _ progress: FlowProgress) async {
        guard let flows = await master?.flows, applier.flow.index < flows.count else { return }
        let connection = flows[applier.flow.index]
        await connection.startAcknowledging { progress.appliedLSN }
        await applier.acknowledge(on: connection)
    }

    /// Asks the source whether it is still there; the answer, if it is none, is an event.
    func ping() {
        guard let master else { return }
        sideTasks.start(.ping) { [events, counters] in
            do {
                let start = ContinuousClock.now
                try await master.ping(timeout: Self.pingTimeout)
                counters.sourceAnswered(after: start.duration(to: .now))
            } catch {
                events.report(.pingFailed(error))
            }
        }
    }
}
