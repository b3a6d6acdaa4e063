import Link
import Wire

/// What one flow of a reconciling full sync has brought: everything else in the task's databases is from an earlier life of
/// the source, and must go (`ReconcileStage`).
final class SyncedKeys {
    private let directory: String
    private let keys: KeySet
    /// Without it the full sync cannot be completed.
    var isEssential: Bool
    private(set) var failure: SystemError?

    /// - Throws: `SystemError` when there is no room for the set.
    init(directory: String, isEssential: Bool = true) throws(SystemError) {
        self.directory = directory
        self.isEssential = isEssential
        keys = try KeySet(directory: directory)
    }

    /// A new one that holds nothing.
    func emptied() throws(SystemError) -> SyncedKeys {
        try SyncedKeys(directory: directory, isEssential: isEssential)
    }

    /// The key is the source's from here on.
    ///
    /// - Returns: `true` when it was not before: what the target has under it is old.
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

/// What a flow has brought, as those see it who remove keys.
extension FlowApplier {
    /// The full sync has removed what it has not brought.
    ///
    /// - Parameter remembers: a later flush may have to distinguish this flow's keys from others.
    package func endReconciling(remembers: Bool) { encoder.reconcile.end(remembers: remembers) }

    /// All that the flow has brought is removed.
    package func forgetBroughtKeys() throws { try encoder.reconcile.forget() }

    /// Those of `keys` that this flow has certainly brought.
    package func brought(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        encoder.reconcile.synced(keys, database: database)
    }

    /// Those of `keys` that this flow has certainly not brought.
    package func notBrought(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        encoder.reconcile.unsynced(keys, database: database)
    }
}
