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

    func brought(_ key: RawSpan, database: UInt32) { insert(KeySet.fingerprint(key, database: database)) }

    /// Removes, ahead of `command`, what it would wrongly build on.
    func prepare(_ command: borrowing JournalCommand, database: UInt32, in batch: CommandBatch) {
        command.forEachWrittenKey { key in
            guard insert(KeySet.fingerprint(key, database: database)) else { return }
            batch.command(2)
            batch.bytes.appendBulk("UNLINK")
            batch.bytes.appendBulk(key)
        }
    }

    func lacks(_ key: [UInt8], database: UInt32) -> Bool {
        !keys.contains(KeySet.fingerprint(key.span.bytes, database: database))
    }

    @discardableResult
    private func insert(_ fingerprint: UInt64) -> Bool {
        do throws(SystemError) {
            return try keys.insert(fingerprint)
        } catch {
            if failure == nil { failure = error }
            return false
        }
    }
}
