/// The last record of a flow whose commands crossed slots, and all databases in which such commands ran, where temporary
/// keys may be left.
///
/// ```
/// <LSN>               only database 0
/// <LSN> <n>,<n>...    databases
/// ```
struct CrossingNote: Equatable, Sendable {
    var lsn: UInt64
    var databases: Set<UInt32> = [0]

    init(lsn: UInt64, databases: Set<UInt32> = [0]) { (self.lsn, self.databases) = (lsn, databases) }

    init?(text: String) {
        let words = text.split(separator: " ")
        guard let lsn = words.first.flatMap({ UInt64($0) }) else { return nil }
        self.lsn = lsn
        if words.count > 1 { databases = Set(words[1].split(separator: ",").compactMap { UInt32($0) }) }
    }

    var text: String {
        databases == [0]
            ? "\(lsn)" : "\(lsn) \(databases.sorted().map { String($0) }.joined(separator: ","))"
    }
}

extension CrossingNote? {
    /// Adds a record in `database` to the note.
    ///
    /// - Returns: the new note; `nil` if nothing has changed.
    func noting(_ lsn: UInt64, in database: UInt32) -> CrossingNote? {
        let note = CrossingNote(lsn: lsn, databases: (self?.databases ?? []).union([database]))
        return note == self ? nil : note
    }
}
