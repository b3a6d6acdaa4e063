import Dispatch
import Dragonfly

/// The session's two connections to the source: the replication session, and an ordinary connection for queries.
@SessionActor
final class SessionSource {
    /// How long a PING on the main connection may stay unanswered until the source counts as lost.
    private static let pingTimeout = Duration.seconds(30)

    let inspector: SourceInspector
    private let settings: ReplicatorSettings
    private let events: SessionEvents
    private let backgroundTasks: BackgroundTasks
    private let counters: TaskCounters
    /// `nil` before the handshake.
    private(set) var master: MasterSession?

    init(settings: ReplicatorSettings, events: SessionEvents, backgroundTasks: BackgroundTasks, counters: TaskCounters)
    {
        self.settings = settings
        self.events = events
        self.backgroundTasks = backgroundTasks
        self.counters = counters
        inspector = SourceInspector(settings: settings.source, socketStore: settings.socketStore)
    }

    /// Does the handshake.
    ///
    /// - Parameter resumePoint: the position to resume at; `nil` asks for a full sync.
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

    /// Reports that a flow's snapshot is complete.
    ///
    /// - Returns: `true` if it was the last snapshot and the source has switched to the journal.
    /// - Throws: `SourceError`.
    func snapshotCompleted(_ flow: FlowID) async throws -> Bool {
        try await master?.snapshotCompleted(flow) ?? false
    }

    /// Starts to acknowledge what a flow has applied.
    func startAcknowledging(_ applier: FlowApplier, _ progress: FlowProgress) async {
        guard let flows = await master?.flows, applier.flow.index < flows.count else { return }
        let connection = flows[applier.flow.index]
        await connection.startAcknowledging { progress.appliedLSN }
        await applier.acknowledge(on: connection)
    }

    /// Pings the source. A failure is reported as an event.
    func ping() {
        guard let master else { return }
        backgroundTasks.start(.ping) { [events, counters] in
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
