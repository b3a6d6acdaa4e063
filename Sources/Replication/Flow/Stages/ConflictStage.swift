import Link
import Redis
import Wire

/// Under `conflict.policy` skip or panic: keeps the journal of a full sync off keys that the target has of its own.
///
/// Values of the snapshot are written with commands that leave an existing key alone. A key that was made, changed or
/// removed at the source since the sync began comes as a command, for which there is no such form: before the first one that
/// writes to a key which this sync has not synced, the target is asked whether it has that key. What comes after that
/// command meanwhile is deferred in order. It ends with the snapshot: from then on the keys are the task's.
final class ConflictStage: RecordStage {
    struct Place: Hashable, Sendable {
        var database: UInt32
        var key: [UInt8]
    }

    private let builder: BatchBuilder
    private let reports: EncoderReports
    private let reserved: ReservedKeys
    private let keys: KeySet
    /// Keys that the target has of its own.
    private var foreign: Set<Place> = []
    private var deferredCommands: [(command: StoredJournalCommand, place: RecordPlace)] = []
    /// What the target is to be asked.
    private(set) var questions: [Place] = []

    /// - Throws: `SystemError` when there is no room for the set.
    init(
        directory: String, _ builder: BatchBuilder, _ reports: EncoderReports, reserved: ReservedKeys
    ) throws(SystemError) {
        self.builder = builder
        self.reports = reports
        self.reserved = reserved
        keys = try KeySet(directory: directory)
    }

    /// The snapshot has a value for the key.
    func markSynced(_ key: RawSpan, database: UInt32) { insert(KeySet.fingerprint(key, database: database)) }

    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        guard deferredCommands.isEmpty else {
            deferredCommands.append((StoredJournalCommand(command), place))
            return .wait
        }
        var isForeign = false
        var unknown: [Place] = []
        command.forEachWrittenKey(in: place.database) { key, database in
            // What is in a database is asked for once it has been prepared.
            guard builder.touch(database), !reserved.contains(key) else { return }
            if !keys.contains(KeySet.fingerprint(key, database: database)) {
                unknown.append(Place(database: database, key: key.withUnsafeBytes { Array($0) }))
            } else if !foreign.isEmpty {
                isForeign =
                    isForeign || foreign.contains(Place(database: database, key: key.withUnsafeBytes { Array($0) }))
            }
        }
        guard unknown.isEmpty else {
            questions = unknown
            deferredCommands.append((StoredJournalCommand(command), place))
            reports.halt(.questions)
            return .wait
        }
        return isForeign ? .drop : .pass
    }

    /// The questions are answered: `existing` are those of them that the target has.
    ///
    /// - Parameter body: is given what was deferred, in order; it asks `admit` again.
    func resolve(existing: [Place], _ body: (borrowing JournalCommand, RecordPlace) -> Void) {
        for place in questions { insert(KeySet.fingerprint(place.key.span.bytes, database: place.database)) }
        foreign.formUnion(existing)
        questions = []
        let waiting = deferredCommands
        deferredCommands = []
        for (command, place) in waiting { command.withCommand { body($0, place) } }
    }

    private func insert(_ fingerprint: UInt64) {
        do throws(SystemError) {
            try keys.insert(fingerprint)
        } catch {
            reports.fail(.file, "\(error)")
        }
    }
}
