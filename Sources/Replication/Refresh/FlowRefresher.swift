import DequeModule
import Dragonfly
import Redis
import Wire

/// Writes values that were read at the source into one flow's stream, at positions where they are valid (`RefreshRule`).
///
/// A value passes through the stages like the `RESTORE` that a RENAME or COPY leaves in the journal, so policies, TTLs of
/// elements, reserved names and slots are handled in the same way. It takes no LSN. A value is done once the target has
/// confirmed it; after a crash the queue still has its key.
///
/// Lives on its flow's queue.
final class FlowRefresher {
    private let queue: RefreshQueue
    private let stages: FlowStages
    private let profile: TargetProfile
    private var watch = KeyWatch()
    /// The keys that are written but not confirmed, in the order of the stream.
    private var unconfirmed: Deque<(key: RefreshKey, end: RefreshQueue.End)> = []

    /// Whether a batch may be applied twice, because a file keeps the position.
    private let mayRepeat: Bool

    init(_ queue: RefreshQueue, _ stages: FlowStages, profile: TargetProfile, mayRepeat: Bool) {
        (self.queue, self.stages, self.profile, self.mayRepeat) = (queue, stages, profile, mayRepeat)
    }

    /// The LSN of the next record at which a value becomes due to be written or read again.
    var dueLSN: UInt64 { watch.dueLSN }

    // MARK: Readings

    /// Begins to watch keys that are about to be read.
    ///
    /// - Returns: the keys that may be read now.
    func begin(_ keys: [RefreshKey]) -> [RefreshKey] {
        keys.filter { key in
            if watch.begin(key, next: stages.position.nextLSN) { return true }
            queue.retry(key, wasStale: false)
            return false
        }
    }

    func answer(_ key: RefreshKey, _ answer: KeyWatch.Answer) {
        if !watch.answer(key, answer) { queue.retry(key, wasStale: false) }
    }

    /// Whether the key is still being read or its value is not confirmed.
    func isPending(_ key: RefreshKey) -> Bool { watch.contains(key) || unconfirmed.contains { $0.key == key } }

    func isStale(_ key: RefreshKey, since position: UInt64) -> Bool { watch.isStale(key, since: position) }

    /// How the element TTLs of a value that is built are kept.
    var memberTTLs: ValueBuilder.MemberTTLs {
        .init(stages.memberTTLs?.expiry, hasNativeFields: profile.hasFieldExpiry)
    }

    /// Whether a DUMP of the key at the source may lack TTLs of its elements.
    func dumpMayLackTTLs(of key: RefreshKey) -> Bool {
        guard stages.rewrite.source.has(.dumpsLackElementTTLs) else { return false }
        let (name, database) = (key.key.span.bytes, key.database)
        return stages.memberTTLs?.mayHave(name, database: database)
            ?? stages.fieldDoubts?.mayHaveHad(name, database: database) ?? false
    }

    /// Gives up a reading to which the source has not replied. The key is read again later.
    func abandon(_ key: RefreshKey) {
        watch.end(key)
        queue.retry(key, wasStale: false)
    }

    /// Stops watching the key. The caller decides what becomes of it.
    func drop(_ key: RefreshKey) { watch.end(key) }

    // MARK: The stream

    func see(_ command: borrowing JournalCommand, database: UInt32) {
        watch.see(command, database: database, lsn: stages.position.nextLSN)
    }

    func seeFlush() { watch.seeFlush(lsn: stages.position.nextLSN) }

    /// Writes the values that are due, between two records.
    func writeDue() {
        for outcome in watch.takeDue(next: stages.position.nextLSN) {
            switch outcome {
            case .stale(let key, let isBuilt):
                queue.retry(key, wasStale: true, notBefore: isBuilt ? LargeValues.shortestWait : 0)
            case .removed(let key): queue.finish(key, .overtaken)
            case .write(let key, let answer):
                let batch = stages.builder.batch
                let first = batch.commandCount
                write(key, answer)
                batch.noteRefreshing(from: first)
            }
        }
    }

    private func write(_ key: RefreshKey, _ answer: KeyWatch.Answer) {
        let (builder, name) = (stages.builder, key.key.span.bytes)
        guard !stages.reservedNames.names.contains(name) else { return queue.finish(key, .failed) }
        guard builder.select(key.database) else {
            return queue.finish(key, stages.reports.leavesOut(key.database) ? .leftOut : .failed)
        }
        if let built = answer.built { return publish(built, as: key, until: answer.expiresAt) }
        guard let payload = answer.payload, !Self.isEmptyCollection(payload) else {
            remove(key)
            return wrote(key, .removed)
        }
        guard let dump = DumpPayload(payload.span.bytes), let type = RDBType(rawValue: dump.typeCode) else {
            return queue.finish(key, .failed)
        }
        if let unsupported = profile.unsupported(type) { return leaveOut(key, type, unsupported) }
        let restore = StoredJournalCommand(arguments: [
            "RESTORE".bytes, key.key, "\(answer.expiresAt ?? 0)".bytes, payload, "REPLACE".bytes,
            "ABSTTL".bytes,
        ])
        // Anything that the target cannot hold of the value has been reported before.
        stages.reports.isRefreshing = true
        restore.withCommand { _ = stages.admit($0, at: RecordPlace(database: key.database), conflicts: nil) }
        stages.reports.isRefreshing = false
        wrote(key, .written)
    }

    private static func isEmptyCollection(_ payload: [UInt8]) -> Bool {
        guard let dump = DumpPayload(payload.span.bytes) else { return false }
        return dump.isEmptyCollection
    }

    private func remove(_ key: RefreshKey) {
        let name = key.key.span.bytes
        stages.memberTTLs?.replace(name, database: key.database)
        stages.expiryGuard?.removed(name, database: key.database)
        stages.builder.batch.append("UNLINK", name)
    }

    /// Leaves out a value that the target cannot hold, and removes an older value in its place. If that is a reason to
    /// stop, the task has already stopped at the command that created the value.
    private func leaveOut(_ key: RefreshKey, _ type: RDBType, _ unsupported: Unsupported) {
        let reports = stages.reports
        reports.recordOnce(
            .init(
                severity: .missing, kind: .init(unsupported), flow: reports.flow, database: key.database,
                key: printableKey(key.key.span.bytes), reason: unsupported.reason, subject: type.name))
        let end: RefreshQueue.End = reports.leavesOutUnsupported ? .leftOut : .failed
        guard unsupported.takesTheKey else { return queue.finish(key, end) }
        remove(key)
        wrote(key, end)
    }

    private func publish(_ value: BuiltValue, as key: RefreshKey, until expiresAt: Int64?) {
        let (batch, name, database) = (stages.builder.batch, key.key.span.bytes, key.database)
        stages.memberTTLs?.replace(name, database: database)
        if value.hasElementDeadlines { stages.memberTTLs?.note(name, database: database) }
        // The key is noted whether it has TTLs of fields or not.
        stages.fieldDoubts?.note(name, database: database)
        if expiresAt == nil { stages.expiryGuard?.removed(name, database: database) }
        let deadline = expiresAt.map { stages.expiryGuard?.deadline($0, key: name, database: database) ?? $0 }
        batch.publish(value, as: name, until: deadline, stages.memberTTLs?.expiry, mayRepeat: mayRepeat)
        guard value.lostPendingEntries > 0 else { return wrote(key, .written) }
        stages.reports.report(
            .pendingEntries, subject: "stream", printableKey: printableKey(name), database: database)
        wrote(key, .failed)
    }

    private func wrote(_ key: RefreshKey, _ end: RefreshQueue.End) {
        unconfirmed.append((key, end))
        stages.builder.batch.progress.refreshes += 1
    }

    /// Reports that the target has confirmed a batch.
    func confirmed(_ progress: CommandBatch.Progress) {
        let mark = progress.nextLSN.map { StreamMark(next: LSN($0), outOfStreamCount: progress.outOfStreamCount) }
        for _ in 0..<min(progress.refreshes, unconfirmed.count) {
            let (key, end) = unconfirmed.removeFirst()
            queue.finish(key, stages.reports.takeRefusedRefresh(of: key) ? .failed : end, at: mark)
        }
    }
}
