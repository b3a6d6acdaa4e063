import Dragonfly
import Redis
import Wire

/// What the target cannot have as the source has it: counted, listed, and by policy the end. And why decoding halts.
///
/// Lives on its flow's queue.
final class EncoderReports {
    let flow: FlowID
    private let incidents: IncidentLog
    private let policy: ReplicationPolicy
    private let refreshes: RefreshQueue?
    private let consumedStreams: ConsumedStreams?
    /// A value that was read at the source is being written: what is to be said of its key has been said.
    var isRefreshing = false
    /// Keys whose values the target has refused since they were read at the source.
    private var refusedRefreshes: Set<RefreshKey> = []
    private var handOns = UnconfirmedHandOns()
    private(set) var halt: FlowEncoder.Halt? { didSet { isHalted = halt != nil } }
    /// Asked for with each entry: the reason itself would be retained each time.
    private(set) var isHalted = false
    /// Keys of the snapshot that had expired, and those that the target had of its own.
    private(set) var counts = (expired: 0, conflicts: 0)

    init(_ flow: FlowID, _ context: FlowContext) {
        self.flow = flow
        incidents = context.incidents
        policy = context.policy
        refreshes = context.refreshes
        consumedStreams = context.consumedStreams
    }

    // MARK: Halting

    /// The first reason is the one to act on; only a failure comes before others.
    func halt(_ reason: FlowEncoder.Halt) {
        if halt == nil { halt = reason }
    }

    /// What decoding was halted for is done; a failure stays.
    func resume() {
        if case .failure = halt { return }
        halt = nil
    }

    func fail(_ code: ReplicationError.Code, _ message: String) {
        fail(ReplicationError(code, flow: flow, message))
    }

    func fail(_ error: ReplicationError) {
        if case .failure = halt { return }
        halt = .failure(error)
    }

    // MARK: Reporting

    func record(_ incident: IncidentLog.Incident) { incidents.record(incident) }

    /// Of a key that may be looked at again and again.
    func recordOnce(_ incident: IncidentLog.Incident) { incidents.recordOnce(incident) }

    /// Policy: the task goes on without what the target has no place for.
    var leavesOutUnsupported: Bool { policy.onUnsupported == .skip }

    /// Policy: the task goes on without a database that the target lacks, or that is left out on purpose.
    func leavesOut(_ database: UInt32) -> Bool { leavesOutUnsupported || policy.skippedDatabases.contains(database) }

    func countExpired() { counts.expired += 1 }

    func countConflict() { counts.conflicts += 1 }

    /// Keys are read at the source.
    var canRefresh: Bool { refreshes != nil }

    /// The key waits to be read at the source: what the target has there may be anything.
    func isStale(_ key: RefreshKey) -> Bool { refreshes?.waits(key) ?? false }

    /// The key is to be read at the source: what the stream says of it is not enough.
    func refresh(_ key: RawSpan, database: UInt32) {
        guard let refreshes, !isRefreshing, key.byteCount > 0 else { return }
        let key = RefreshKey(database: database, key: key.withUnsafeBytes { Array($0) })
        refreshes.ask(RefreshRequest(key, flow: flow))
    }

    /// `subject` brings the key here from database `origin`, which the target lacks or which is left out: it is to be read at the
    /// source.
    func refreshMissing(_ key: RawSpan, subject: String, from origin: UInt32, database: UInt32) {
        if isRefreshing { return }
        record(
            .init(
                severity: .missing, kind: .init(.missingKey), flow: flow, database: database, key: printableKey(key),
                reason: "the source has brought it here from database \(origin), which the target does not have",
                subject: subject))
        refresh(key, database: database)
    }

    /// By what the target answers to a command, it does not have what the source has at `keys`: they are to be read at the
    /// source, and so are the keys that have got their values since.
    ///
    /// - Parameter lsn: of the command's record; `nil`: any that is not confirmed.
    func refresh(_ keys: [RefreshKey], since lsn: UInt64?) {
        guard let refreshes, !isRefreshing else { return }
        for key in keys + handOns.destinations(of: keys, since: lsn ?? 0) where !key.key.isEmpty {
            refreshes.ask(RefreshRequest(key, flow: flow))
        }
    }

    /// The target does not take the key's value that was read at the source: it is not asked for again.
    func noteRefusedRefresh(of key: RefreshKey) {
        if refreshes != nil { refusedRefreshes.insert(key) }
    }

    func takeRefusedRefresh(of key: RefreshKey) -> Bool { refusedRefreshes.remove(key) != nil }

    /// Where `command` gives a key the value that the target has of another one: what is still to be read at the source of the
    /// one is to be read of the other too, also when the target has yet to say so.
    ///
    /// - Parameter lsn: of the record; 0 inside the snapshot.
    /// - Returns: how many keys are handed on, to be counted in the batch.
    func handOn(_ command: borrowing JournalCommand, database: UInt32, at lsn: UInt64) -> Int {
        guard !isRefreshing, refreshes != nil || consumedStreams != nil else { return 0 }
        var count = 0
        command.forEachValueHandedOn(in: database) { key, destination, other in
            let key = RefreshKey(database: database, key: key.withUnsafeBytes { Array($0) })
            let destination = RefreshKey(database: other, key: destination.withUnsafeBytes { Array($0) })
            consumedStreams?.handOn(key, to: destination)
            guard let refreshes else { return }
            refreshes.handOn(key, to: destination, flow: flow)
            handOns.note(key, to: destination, at: lsn)
            count += 1
        }
        return count
    }

    /// The target has confirmed a batch, and all that it says of it has been classified.
    func confirmed(_ progress: CommandBatch.Progress) { handOns.confirm(progress.handOns) }

    func report(_ divergence: Divergence, subject: String, key: RawSpan, database: UInt32) {
        report(divergence, subject: subject, printableKey: printableKey(key), database: database)
        refresh(key, database: database)
        if divergence == .consumerGroupReads, let consumedStreams, key.byteCount > 0 {
            consumedStreams.note(
                RefreshKey(database: database, key: key.withUnsafeBytes { Array($0) }), flow: flow)
        }
    }

    /// Of a key that is not to be read at the source, or has been asked for.
    func report(_ divergence: Divergence, subject: String, printableKey key: String, database: UInt32) {
        if isRefreshing { return }
        record(
            .init(
                severity: .diverging, kind: .init(divergence), flow: flow, database: database, key: key,
                reason: divergence.reason, subject: subject))
    }

    /// What is written to a database that the target lacks, or whose keys are left out on purpose.
    ///
    /// - Parameter database: of the command, where it moves its key to `missing`.
    func reportLeftOut(_ missing: UInt32, subject: String, key: RawSpan, database: UInt32) {
        guard policy.skippedDatabases.contains(missing) else {
            return report(.database, subject: subject, key: key, database: database)
        }
        record(
            .init(
                severity: .missing, kind: .init(Unsupported.database), flow: flow, database: database,
                key: printableKey(key), reason: "target.database leaves out database \(missing)", subject: subject))
    }

    func report(_ unsupported: Unsupported, subject: String, key: RawSpan, database: UInt32) {
        report(unsupported, subject: subject, printableKey: printableKey(key), database: database)
        if unsupported.hasReadableValue { refresh(key, database: database) }
    }

    /// - Returns: the error to stop with, if the policy says so; decoding has been halted with it.
    @discardableResult
    func report(
        _ unsupported: Unsupported, subject: String, printableKey key: String, database: UInt32
    ) -> ReplicationError? {
        if isRefreshing { return nil }
        record(
            .init(
                severity: .missing, kind: .init(unsupported), flow: flow, database: database, key: key,
                reason: unsupported.reason, subject: subject))
        guard policy.onUnsupported == .stop, unsupported.mayStop else { return nil }
        let remedy = unsupported == .database ? ", and so does target.database: {<number>: skip}" : ""
        let error = ReplicationError(
            .policy, flow: flow,
            "\(subject) \(key) in database \(database): \(unsupported.reason) (policy.onUnsupported: stop; skip goes on\(remedy))"
        )
        fail(error)
        return error
    }
}
