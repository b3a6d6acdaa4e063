import Dragonfly
import Logging
import Redis
import Wire

/// Reports what the target cannot hold as the source does, and keeps the reason why decoding halts.
///
/// Incidents are counted and listed, and stop the task if the policy says so.
///
/// Lives on its flow's queue.
final class EncoderReports {
    let flow: FlowID
    private let incidents: IncidentLog
    private let policy: ReplicationPolicy
    private let refreshes: RefreshQueue?
    private let consumedStreams: ConsumedStreams?
    /// Whether a value read at the source is being written. Incidents of its key have been reported before.
    var isRefreshing = false
    /// Keys whose values were read at the source and refused by the target.
    private var refusedRefreshes: Set<RefreshKey> = []
    private var transfers = UnconfirmedTransfers()
    private(set) var halt: FlowEncoder.Halt? { didSet { isHalted = halt != nil } }
    /// A copy of `halt != nil`. It is checked for each entry, and reading `halt` would retain the reason each time.
    private(set) var isHalted = false
    /// The numbers of snapshot keys that had expired and of keys that the target already had.
    private(set) var counts = (expired: 0, conflicts: 0)

    init(_ flow: FlowID, _ context: FlowContext) {
        self.flow = flow
        incidents = context.incidents
        policy = context.policy
        refreshes = context.refreshes
        consumedStreams = context.consumedStreams
    }

    // MARK: Halting

    /// Halts decoding. The first reason stays; only `fail` replaces it.
    func halt(_ reason: FlowEncoder.Halt) {
        if halt == nil { halt = reason }
    }

    /// Ends the halt, because its cause has been handled. A failure stays.
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

    /// Records an incident of a key that may be checked repeatedly, but only once.
    func recordOnce(_ incident: IncidentLog.Incident) { incidents.recordOnce(incident) }

    func reportOnce(_ message: String, level: Logger.Level) { incidents.reportOnce(message, level: level) }

    /// Whether the policy lets the task continue without data that the target cannot hold.
    var leavesOutUnsupported: Bool { policy.onUnsupported == .skip }

    /// Whether the policy lets the task continue without a database that the target lacks, or leaves it out on purpose.
    func leavesOut(_ database: UInt32) -> Bool { leavesOutUnsupported || policy.skippedDatabases.contains(database) }

    func countExpired() { counts.expired += 1 }

    func countConflict() { counts.conflicts += 1 }

    /// Whether keys are read at the source.
    var canRefresh: Bool { refreshes != nil }

    /// Whether keys that wait to be read are still known after a restart.
    var keepsRefreshes: Bool { refreshes?.isKept ?? false }

    /// Whether the key waits to be read at the source, so the target's value may be anything.
    func isStale(_ key: RefreshKey) -> Bool { refreshes?.waits(key) ?? false }

    /// Asks for the key to be read at the source, because the stream does not say enough about it.
    ///
    /// - Parameter owner: the flow that the key belongs to; `nil`: this one.
    func refresh(_ key: RawSpan, database: UInt32, of owner: FlowID? = nil) {
        guard let refreshes, !isRefreshing, key.byteCount > 0 else { return }
        let key = RefreshKey(database: database, key: Array(copying: key))
        refreshes.ask(RefreshRequest(key, flow: owner ?? flow))
    }

    /// Asks for a key to be read at the source that `subject` brings here from database `origin`, which the target lacks or
    /// which is left out. Reports it as missing if no key is read.
    func refreshMissing(_ key: RawSpan, subject: String, from origin: UInt32, database: UInt32) {
        if isRefreshing { return }
        if canRefresh { return refresh(key, database: database) }
        record(
            .init(
                severity: .missing, kind: .init(.missingKey), flow: flow, database: database, key: printableKey(key),
                reason: "the source has brought it here from database \(origin), which the target does not have",
                subject: subject))
    }

    /// Asks for `keys` to be read at the source, because a reply of the target shows that it does not have the source's
    /// values. The same is done for keys to which commands have copied or moved these values since.
    ///
    /// - Parameter lsn: the LSN of the command's record; `nil` includes all transfers that are not confirmed.
    func refresh(_ keys: [RefreshKey], since lsn: UInt64?) {
        guard let refreshes, !isRefreshing else { return }
        for key in keys + transfers.destinations(of: keys, since: lsn ?? 0) where !key.key.isEmpty {
            refreshes.ask(RefreshRequest(key, flow: flow))
        }
    }

    /// Notes that the target refuses the key's value that was read at the source, so that the key is not read again.
    func noteRefusedRefresh(of key: RefreshKey) {
        if refreshes != nil { refusedRefreshes.insert(key) }
    }

    func takeRefusedRefresh(of key: RefreshKey) -> Bool { refusedRefreshes.remove(key) != nil }

    /// Notes that `command` gives keys the values that other keys have in the target. If the source key of such a
    /// transfer must be read at the source, now or after a later reply of the target, the destination key must be read, too.
    ///
    /// - Parameter lsn: the LSN of the record; 0 inside the snapshot.
    /// - Returns: the number of transfers, to be counted in the batch.
    func transfer(_ command: borrowing JournalCommand, database: UInt32, at lsn: UInt64) -> Int {
        guard !isRefreshing, refreshes != nil || consumedStreams != nil else { return 0 }
        var count = 0
        command.forEachValueTransfer(in: database) { key, destination, other in
            let key = RefreshKey(database: database, key: Array(copying: key))
            let destination = RefreshKey(database: other, key: Array(copying: destination))
            consumedStreams?.transfer(key, to: destination)
            guard let refreshes else { return }
            refreshes.transfer(key, to: destination, flow: flow)
            transfers.note(key, to: destination, at: lsn)
            count += 1
        }
        return count
    }

    /// Notes that the target has confirmed a batch and all its replies have been classified.
    func confirmed(_ progress: CommandBatch.Progress) { transfers.confirm(progress.transfers) }

    func report(_ divergence: Divergence, subject: String, key: RawSpan, database: UInt32) {
        report(divergence, subject: subject, printableKey: printableKey(key), database: database)
        refresh(key, database: database)
        if divergence == .consumerGroupReads, let consumedStreams, key.byteCount > 0 {
            consumedStreams.note(
                RefreshKey(database: database, key: Array(copying: key)), flow: flow)
        }
    }

    /// Reports a divergence of a key that need not be read at the source, or for which that has been requested.
    func report(_ divergence: Divergence, subject: String, printableKey key: String, database: UInt32) {
        if isRefreshing { return }
        record(
            .init(
                severity: .diverging, kind: .init(divergence), flow: flow, database: database, key: key,
                reason: divergence.reason, subject: subject))
    }

    /// Reports a write to a database that the target lacks or whose keys are left out on purpose.
    ///
    /// - Parameter database: the command's own database. It differs from `missing` if the command moves its key to
    ///   `missing`.
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

    /// - Returns: the error to stop with if the policy says so. Decoding has then been halted with it.
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
