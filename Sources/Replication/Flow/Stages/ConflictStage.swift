import Link
import Redis
import Wire

/// Keeps the journal of a full sync off keys that the target already has, under `conflict.policy` skip or panic.
///
/// Values of the snapshot are written with commands that leave an existing key alone. A key that was created, changed or
/// deleted at the source after the sync began arrives as a command, which has no such form. Before the first command that
/// writes to a key which this sync has not synced, the target is asked whether it has that key. Commands that follow
/// meanwhile are deferred in order. The stage ends with the snapshot: from then on the keys belong to the task.
final class ConflictStage: RecordStage {
    struct Place: Hashable, Sendable {
        var database: UInt32
        var key: [UInt8]
    }

    private let builder: BatchBuilder
    private let reports: EncoderReports
    private let reserved: ReservedKeys
    private let keys: KeySet
    /// Keys that the target had before the task.
    private var foreign: Set<Place> = []
    private var deferredCommands: [(command: StoredJournalCommand, place: RecordPlace)] = []
    /// The keys that the target must be asked for.
    private(set) var questions: [Place] = []

    /// - Throws: `SystemError` if there is no room for the set.
    init(
        directory: String, _ builder: BatchBuilder, _ reports: EncoderReports, reserved: ReservedKeys
    ) throws(SystemError) {
        self.builder = builder
        self.reports = reports
        self.reserved = reserved
        keys = try KeySet(directory: directory)
    }

    /// Notes that the snapshot has a value for the key.
    func markSynced(_ key: RawSpan, database: UInt32) { insert(KeySet.fingerprint(key, database: database)) }

    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        guard deferredCommands.isEmpty else {
            deferredCommands.append((StoredJournalCommand(command), place))
            return .wait
        }
        var isForeign = false
        var unknown: [Place] = []
        command.forEachWrittenKey(in: place.database) { key, database in
            // The target is asked for keys of a database only after the database has been prepared.
            guard builder.touch(database), !reserved.contains(key) else { return }
            if !keys.contains(KeySet.fingerprint(key, database: database)) {
                unknown.append(Place(database: database, key: Array(copying: key)))
            } else if !foreign.isEmpty {
                isForeign =
                    isForeign || foreign.contains(Place(database: database, key: Array(copying: key)))
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

    /// Continues with the answers to the questions.
    ///
    /// - Parameters:
    ///   - existing: the questions' keys that the target has.
    ///   - body: gets the deferred commands in order; it calls `admit` again.
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
