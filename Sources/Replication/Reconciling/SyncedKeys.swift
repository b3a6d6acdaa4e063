import Link
import Redis
import Wire

/// What one flow of a reconciling full sync has brought: everything else that stands in the task's databases is from an
/// earlier life of the source, and must go.
///
/// A journal command that comes to a key which this sync has not brought would build on such an old value, so the key is
/// removed first.
final class SyncedKeys {
    private let keys: KeySet
    private(set) var failure: SystemError?

    /// - Throws: `SystemError` when there is no room for the set.
    init(directory: String) throws(SystemError) { keys = try KeySet(directory: directory) }

    /// The key is the source's from here on.
    ///
    /// - Returns: `true` when it was not before: what the target has under it is old.
    @discardableResult
    func brought(_ key: RawSpan, database: UInt32) -> Bool {
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
