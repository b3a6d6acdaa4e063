import Link
import Redis
import Wire

/// During a full sync over old data, and where tasks share the target after it: knows which keys this session has synced.
///
/// A journal command that comes to a key which has not been synced would build on a value of an earlier life of the source,
/// so the key is removed first.
final class ReconcileStage: RecordStage {
    private let builder: BatchBuilder
    private let reports: EncoderReports
    private let reserved: ReservedKeys
    /// `nil`: nobody asks.
    private var synced: SyncedKeys?

    /// - Parameter synced: remembers the keys; `nil`: the target holds nothing that is older than the sync.
    init(_ builder: BatchBuilder, _ reports: EncoderReports, reserved: ReservedKeys, synced: SyncedKeys?) {
        self.builder = builder
        self.reports = reports
        self.reserved = reserved
        self.synced = synced
    }

    /// What `command` writes to is noted, and what it would wrongly build on is removed ahead of it.
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

    /// The snapshot has a value for the key.
    func markSynced(_ key: RawSpan, database: UInt32) {
        guard let synced else { return }
        synced.markSynced(key, database: database)
        checkMemory(of: synced)
    }

    /// Without knowing all keys that the sync has brought, an old value can no longer be distinguished from a new one.
    private func checkMemory(of synced: SyncedKeys) {
        guard synced.isEssential, let failure = synced.failure else { return }
        reports.fail(
            .file,
            "the keys that this full sync brings cannot be remembered, so what the source no longer has cannot be removed: "
                + "\(failure) (make room in spool.dir, or set fullSync.existing to replace)")
    }

    // MARK: For those who remove keys

    /// The full sync has removed what it has not synced.
    ///
    /// - Parameter remembers: a later flush may have to distinguish this flow's keys from others.
    func end(remembers: Bool) {
        if remembers { synced?.isEssential = false } else { synced = nil }
    }

    /// All that has been synced is removed.
    func forget() throws(SystemError) {
        if let synced { self.synced = try synced.emptied() }
    }

    /// Those of `keys` that have certainly been synced.
    func synced(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        guard let synced, synced.failure == nil else { return [] }
        return keys.filter { !synced.lacks($0, database: database) }
    }

    /// Those of `keys` that have certainly not been synced. Where not all could be remembered, none may be removed.
    func unsynced(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        guard let synced, synced.failure == nil else { return [] }
        return keys.filter { synced.lacks($0, database: database) }
    }
}
