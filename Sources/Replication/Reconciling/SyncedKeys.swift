import Link
import Wire

/// The keys that one flow of a full sync has brought. In a reconciling full sync, all other keys of the task's databases
/// are left over from earlier and must be removed (`ReconcileStage`).
final class SyncedKeys {
    private let directory: String
    private let keys: KeySet
    /// The full sync cannot be completed without this set.
    var isEssential: Bool
    private(set) var failure: SystemError?

    /// - Throws: `SystemError` if there is no room for the set.
    init(directory: String, isEssential: Bool = true) throws(SystemError) {
        self.directory = directory
        self.isEssential = isEssential
        keys = try KeySet(directory: directory)
    }

    /// Creates an empty set of the same kind.
    func emptied() throws(SystemError) -> SyncedKeys {
        try SyncedKeys(directory: directory, isEssential: isEssential)
    }

    /// Notes that the key is the source's from now on.
    ///
    /// - Returns: `true` if it was not before, so the target's value of the key is old.
    @discardableResult
    func markSynced(_ key: RawSpan, database: UInt32) -> Bool {
        guard failure == nil else { return false }
        do throws(SystemError) {
            return try keys.insert(KeySet.fingerprint(key, database: database))
        } catch {
            failure = error
            return false
        }
    }

    func lacks(_ key: [UInt8], database: UInt32) -> Bool {
        !keys.contains(KeySet.fingerprint(key.span.bytes, database: database))
    }
}

/// The flow's knowledge of which keys it has brought, for the parts that remove keys.
extension FlowApplier {
    /// Ends the reconciliation after the full sync has removed the keys that it did not bring.
    ///
    /// - Parameter remembers: a later flush may have to distinguish this flow's keys from others.
    package func endReconciling(remembers: Bool) { encoder.reconcile.end(remembers: remembers) }

    /// Forgets the keys that the flow has brought, because all of them have been removed.
    package func forgetBroughtKeys() throws { try encoder.reconcile.forget() }

    /// The keys in `keys` that this flow has certainly brought.
    package func brought(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        encoder.reconcile.synced(keys, database: database)
    }

    /// The keys in `keys` that this flow has certainly not brought.
    package func notBrought(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        encoder.reconcile.unsynced(keys, database: database)
    }
}
