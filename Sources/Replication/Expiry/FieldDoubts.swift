import Redis
import Wire

/// Handles TTLs of hash fields in a target that supports them and allows no scripts.
///
/// Such a target expires a field by its own clock, or not at all in import mode. No transaction can ask it whether the
/// field existed when a command ran at the source (`ElementExpiry` asks in scripts). So the key is read at the source after
/// each command for which that makes a difference. If it is not known whether a hash has fields with TTLs, for example
/// after a restart, this happens once: the value that is read shows it.
///
/// Lives on its flow's queue.
final class FieldDoubts {
    private let reports: EncoderReports
    /// Hashes whose fields may have TTLs.
    private var hashes: Set<UInt64> = []
    /// In a continued session, hashes that have been read once; `nil` if every hash with such TTLs has been seen.
    private var asked: Set<UInt64>?
    /// Whether there were too many hashes to remember, so any hash may have such TTLs.
    private var isFull = false

    private static let maxKeys = 100_000

    init(_ reports: EncoderReports, isContinued: Bool) {
        self.reports = reports
        asked = isContinued ? [] : nil
    }

    func note(_ key: RawSpan, database: UInt32) {
        if hashes.count >= Self.maxKeys { isFull = true }
        if !isFull { hashes.insert(KeySet.fingerprint(key, database: database)) }
    }

    private func mayHave(_ key: RawSpan, database: UInt32) -> Bool {
        if isFull { return true }
        let fingerprint = KeySet.fingerprint(key, database: database)
        return hashes.contains(fingerprint) || asked?.contains(fingerprint) == false
    }

    /// Whether fields of the hash may have TTLs, or the hash has been read because of them.
    func mayHaveHad(_ key: RawSpan, database: UInt32) -> Bool {
        mayHave(key, database: database)
            || asked?.contains(KeySet.fingerprint(key, database: database)) == true
    }

    /// Reports that the command has been written.
    func wrote(_ command: borrowing JournalCommand, at place: RecordPlace) {
        guard command.argumentCount > 2 else { return }
        let (key, database) = (command.argument(at: 1), place.database)
        switch command.name {
        case "HSETNX", "HINCRBY": ask(key, database: database)
        case "HSETEX", "HEXPIRE", "FIELDEXPIRE":
            ask(key, database: database)
            note(key, database: database)
        case "HGETEX" where !command.argument(at: 2).isWord("FIELDS"):
            ask(key, database: database)
            note(key, database: database)
        case "RENAME", "RENAMENX":
            if mayHave(key, database: database) { note(command.argument(at: 2), database: database) }
        case "MOVE":
            if let other = command.otherDatabase, mayHave(key, database: database) { note(key, database: other) }
        case "RESTORE" where command.argumentCount > 3:
            if command.argument(at: 3).holdsElementExpiries { note(key, database: database) }
        default: break
        }
    }

    private func ask(_ key: RawSpan, database: UInt32) {
        guard mayHave(key, database: database) else { return }
        let fingerprint = KeySet.fingerprint(key, database: database)
        guard reports.canRefresh else {
            return reports.report(.elementExpiryInDoubt, subject: "field", key: key, database: database)
        }
        reports.refresh(key, database: database)
        // The value that is read notes the key again if it has such TTLs.
        hashes.remove(fingerprint)
        if let count = asked?.count { asked = count < Self.maxKeys ? asked : [] }
        asked?.insert(fingerprint)
    }
}
