import Redis
import Wire

/// HyperLogLogs of a snapshot that may be copies in a shard that does not own their key.
final class UndecidedHLLs {
    struct Entry {
        let head: EntryHead
        let key: [UInt8]
        let value: [UInt8]
    }

    /// The maximum number of entries that wait.
    private static let most = 16

    let write: (Entry) -> Void
    private var entries: [Entry] = []

    /// - Parameter write: gets an entry that is known to be data.
    init(write: @escaping (Entry) -> Void) { self.write = write }

    var isEmpty: Bool { entries.isEmpty }

    /// - Returns: `false` if there is no room.
    func append(_ head: EntryHead, key: RawSpan, value: RawSpan) -> Bool {
        guard entries.count < Self.most else { return false }
        entries.append(
            Entry(
                head: head, key: Array(copying: key), value: Array(copying: value)))
        return true
    }

    func takeAll() -> [Entry] {
        defer { entries = [] }
        return entries
    }

    /// Whether `command` writes to one of the keys that wait.
    func mayConcern(_ command: borrowing JournalCommand, database: UInt32) -> Bool {
        guard !entries.isEmpty else { return false }
        var isConcerned = false
        command.forEachWrittenKey(in: database) { key, _ in
            isConcerned = isConcerned || entries.contains { key.isEqual(to: $0.key.span.bytes) }
        }
        return isConcerned
    }
}
