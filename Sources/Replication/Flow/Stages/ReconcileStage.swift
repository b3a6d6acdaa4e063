import Link
import Redis
import Wire

/// Knows which keys this session has synced: during a full sync over old data, and after it if tasks share the target.
///
/// A journal command for a key that has not been synced would build on a value from an earlier life of the source, so the
/// key is removed first.
final class ReconcileStage: RecordStage {
    private let builder: BatchBuilder
    private let reports: EncoderReports
    private let reserved: ReservedKeys
    /// The synced keys; `nil` if nobody needs them.
    private var synced: SyncedKeys?

    /// - Parameter synced: remembers the keys; `nil` if nobody needs them, because the target holds nothing older than the
    ///   sync.
    init(_ builder: BatchBuilder, _ reports: EncoderReports, reserved: ReservedKeys, synced: SyncedKeys?) {
        self.builder = builder
        self.reports = reports
        self.reserved = reserved
        self.synced = synced
    }

    /// Notes the keys that `command` writes to, and removes values first that the command would wrongly build on.
    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        guard let synced else { return .pass }
        command.forEachWrittenKey(in: place.database) { key, database in
            guard !reserved.contains(key), synced.markSynced(key, database: database), builder.select(database) else {
                return
            }
            builder.batch.append("UNLINK", key)
        }
        builder.select(place.database)
        checkMemory(of: synced)
        return .pass
    }

    /// Notes that the snapshot has a value for the key.
    func markSynced(_ key: RawSpan, database: UInt32) {
        guard let synced else { return }
        synced.markSynced(key, database: database)
        checkMemory(of: synced)
    }

    /// Fails if not all synced keys could be remembered: without them, an old value cannot be distinguished from a new one.
    private func checkMemory(of synced: SyncedKeys) {
        guard synced.isEssential, let failure = synced.failure else { return }
        reports.fail(
            .file,
            "the keys that this full sync brings cannot be remembered, so what the source no longer has cannot be removed: "
                + "\(failure) (make room in spool.dir, or set fullSync.existing to replace)")
    }

    // MARK: Removing keys

    /// Reports that the full sync has removed the keys that it has not synced.
    ///
    /// - Parameter remembers: whether a later flush may have to distinguish this flow's keys from others.
    func end(remembers: Bool) {
        if remembers { synced?.isEssential = false } else { synced = nil }
    }

    /// Forgets the synced keys, because they are all removed.
    func forget() throws(SystemError) {
        if let synced { self.synced = try synced.emptied() }
    }

    /// The keys among `keys` that have certainly been synced.
    func synced(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        guard let synced, synced.failure == nil else { return [] }
        return keys.filter { !synced.lacks($0, database: database) }
    }

    /// The keys among `keys` that have certainly not been synced. If not all could be remembered, none may be removed.
    func unsynced(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        guard let synced, synced.failure == nil else { return [] }
        return keys.filter { synced.lacks($0, database: database) }
    }
}
