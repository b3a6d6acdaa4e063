import Dragonfly
import Link
import Logging
import Redis

extension FlowEncoder {
    /// Makes what the flow needs at its beginning.
    ///
    /// - Throws: `SystemError`, when there is no room for what has to be remembered.
    func begin(_ start: FlowStart) throws {
        gate = start.openDatabases.map { DatabaseGate(open: $0) }
        if let folder = start.keyFolder {
            synced = try SyncedKeys(directory: folder, isEssential: start.areKeysEssential)
        }
        if let folder = start.conflictFolder { conflicts = try ConflictGuard(directory: folder) }
        for (database, keys) in start.elementKeys {
            for key in keys { book?.note(key.span.bytes, database: database) }
        }
        // How far what comes is of before the session, the source says when it has begun.
        if start.isContinued { catchesUpUntil = .max }
        if let expiry = start.expiry { try begin(expiry, continuingAt: start.isContinued ? start.next?.value : nil) }
    }

    private func begin(_ start: FlowStart.Expiry, continuingAt next: UInt64?) throws {
        let book = try DeadlineBook(folder: start.folder, origin: start.origin, continuingAt: next)
        if next != nil, !book.isContinued, start.window != nil {
            context.logger.warning(
                "what was noted of the target's TTLs is gone or outdated: those written before this start are not protected, and may be late, until the source writes them again",
                metadata: ["flow": "\(flow)"])
        }
        expiry = ExpiryGuard(
            book: book, window: start.window.map { .init($0) }, resumes: next != nil, clock: context.clock)
    }
}
