/// The point-in-time snapshot of one shard of a live master (Protocol 3.9).
///
/// Keys are sent as they were when the snapshot began. A write to a key that has not been sent yet sends the old value
/// first, so that a key's value always precedes its journal records.
final class LiveSnapshot: SnapshotSource {
    private let databases: [(number: Int, entries: LiveStore.Database)]
    private var current = 0
    private var position: LiveStore.Database.Index?
    /// Keys that were sent ahead of their turn.
    private var early: Set<DatabaseKey> = []
    private var header: [UInt8]?
    private let end: [UInt8]
    private var buffer: EntryBuffer
    private(set) var hasEnded = false

    init(store: LiveStore, shard: Int, header: [UInt8], end: [UInt8], options: MasterOptions) {
        databases = store.shards[shard].sorted { $0.key < $1.key }.map { (number: $0.key, entries: $0.value) }
        position = databases.first?.entries.startIndex
        self.header = header
        self.end = end
        buffer = EntryBuffer(options: options)
    }

    func next() -> [UInt8]? {
        if let header {
            self.header = nil
            return header
        }
        while !hasEnded, !buffer.isFull {
            guard appendNextKey() else {
                buffer.append(opcode: end)
                hasEnded = true
                break
            }
        }
        return buffer.flush()
    }

    /// Appends the next key to the buffer; `false` if there are no more keys.
    private func appendNextKey() -> Bool {
        guard current < databases.count, let position else { return false }
        let (number, entries) = databases[current]
        guard position != entries.endIndex else {
            current += 1
            self.position = current < databases.count ? databases[current].entries.startIndex : nil
            return true
        }
        let (key, entry) = entries[position]
        self.position = entries.index(after: position)
        if early.isEmpty || !early.contains(DatabaseKey(database: number, key: key)) {
            buffer.append(database: number, key: key, expiresAt: entry.expiresAt, value: entry.value)
        }
        return true
    }

    func write(record: [UInt8], keys: [DatabaseKey]) {
        if !hasEnded {
            for key in keys { sendEarly(key) }
        }
        buffer.append(opcode: SnapshotFrame.blob(record))
    }

    private func sendEarly(_ key: DatabaseKey) {
        guard let slot = databases.firstIndex(where: { $0.number == key.database }), slot >= current,
            let index = databases[slot].entries.index(forKey: key.key)
        else { return }
        if slot == current, let position, index < position { return }
        guard early.insert(key).inserted else { return }
        let entry = databases[slot].entries[index].value
        buffer.append(database: key.database, key: key.key, expiresAt: entry.expiresAt, value: entry.value)
    }

    func tail(offset: UInt64, token: String) -> [[UInt8]] {
        buffer.append(opcode: SnapshotFrame.offset(offset))
        return [buffer.flush() ?? [], SnapshotFrame.eof(token: token)]
    }
}
