import Link
import Redis
import Wire

/// Under `conflict.policy` skip or panic: what keeps the journal of a full sync off keys that the target has of its own.
///
/// Values of the snapshot are written with commands that leave an existing key alone. A key that was made, changed or
/// removed at the source since the sync began comes as a command, for which there is no such form: before the first one that
/// writes to a key which this sync has not brought, the target is asked whether it has that key. What comes behind that
/// command meanwhile is held in order. It ends with the snapshot: from then on the keys are the task's.
final class ConflictGuard {
    struct Place: Hashable, Sendable {
        var database: UInt32
        var key: [UInt8]
    }

    private struct Held {
        var record: [UInt8]
        var database: UInt32
    }

    enum Admission { case pass, drop, wait }

    private let keys: KeySet
    /// Keys that the target has of its own.
    private var foreign: Set<Place> = []
    private var held: [Held] = []
    /// What the target is to be asked.
    private(set) var questions: [Place] = []
    private(set) var failure: SystemError?

    /// - Throws: `SystemError` when there is no room for the set.
    init(directory: String) throws(SystemError) { keys = try KeySet(directory: directory) }

    /// The snapshot has a value for the key.
    func brought(_ key: RawSpan, database: UInt32) { insert(KeySet.fingerprint(key, database: database)) }

    /// May the command be applied?
    ///
    /// - Parameter isGuarded: whether a key of the command, in its database, is one to ask for.
    func admit(
        _ command: borrowing JournalCommand, database: UInt32, where isGuarded: (RawSpan, UInt32) -> Bool
    ) -> Admission {
        guard held.isEmpty else {
            hold(command, database: database)
            return .wait
        }
        var isForeign = false
        var unknown: [Place] = []
        command.forEachWrittenKey(in: database) { key, database in
            guard isGuarded(key, database) else { return }
            if !keys.contains(KeySet.fingerprint(key, database: database)) {
                unknown.append(Place(database: database, key: key.withUnsafeBytes { Array($0) }))
            } else if !foreign.isEmpty {
                isForeign =
                    isForeign || foreign.contains(Place(database: database, key: key.withUnsafeBytes { Array($0) }))
            }
        }
        guard unknown.isEmpty else {
            questions = unknown
            hold(command, database: database)
            return .wait
        }
        return isForeign ? .drop : .pass
    }

    private func hold(_ command: borrowing JournalCommand, database: UInt32) {
        var arguments: [[UInt8]] = []
        var iterator = command.arguments
        while let argument = iterator.next() { arguments.append(argument.withUnsafeBytes { Array($0) }) }
        var record = ByteBuffer()
        record.append(
            journalCommand: arguments, transactionID: command.transactionID, shardCount: command.shardCount,
            expired: command.isExpired)
        held.append(Held(record: record.withUnsafeBytes { Array($0) }, database: database))
    }

    /// The questions are answered: `existing` are those of them that the target has.
    ///
    /// - Parameter body: is given what was held, in order; it asks `admit` again.
    func answered(existing: [Place], _ body: (borrowing JournalCommand, UInt32) -> Void) {
        for place in questions { insert(KeySet.fingerprint(place.key.span.bytes, database: place.database)) }
        foreign.formUnion(existing)
        questions = []
        let waiting = held
        held = []
        for item in waiting {
            var reader = ByteReader(item.record.span.bytes)
            // We have made the record ourselves.
            guard case .command(let command)? = try? reader.readJournalRecord(maxPayloadBytes: .max) else { continue }
            body(command, item.database)
        }
    }

    private func insert(_ fingerprint: UInt64) {
        do throws(SystemError) {
            try keys.insert(fingerprint)
        } catch {
            if failure == nil { failure = error }
        }
    }
}
