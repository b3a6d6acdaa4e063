import Wire

/// Writes a stream as XADD, XSETID, XGROUP and XCLAIM: for streams too large for one RESTORE.
///
/// Deleted entries are not written, but their traces are: last id, entries added, greatest deleted id. Pending entries of
/// deleted ones are dropped by the target itself, and
/// show as an empty reply (`CommandBatch.reportsEmptyReplies`). Source: Protocol 3.7.4, "Re-creation with exact semantics".
final class StreamWriter {
    private let key: [UInt8]
    private var entries: UInt64 = 0
    private var group: [UInt8] = []
    private var consumer: [UInt8] = []
    private var pending: [StreamID: StreamPendingEntry] = [:]
    private(set) var lostPendingEntries = 0
    private(set) var groupCount = 0
    /// Why an entry could not be read: the value is not whole.
    private(set) var failure: WireError?

    init(key: [UInt8]) { self.key = key }

    func take(_ event: borrowing ValueEvent, into batch: CommandBatch) {
        switch event {
        case .streamNode(let id, let listpack): node(id, listpack, into: batch)
        case .streamInfo(let info): finishEntries(info, into: batch)
        case .streamGroup(let name, let info):
            group = name.withUnsafeBytes { Array($0) }
            pending = [:]
            groupCount += 1
            batch.command(info.entriesRead == nil ? 5 : 7)
            batch.bytes.appendBulk("XGROUP")
            batch.bytes.appendBulk("CREATE")
            batch.bytes.appendBulk(key)
            batch.bytes.appendBulk(name)
            appendID(info.lastID, into: batch)
            if let read = info.entriesRead {
                batch.bytes.appendBulk("ENTRIESREAD")
                batch.bytes.appendBulk(decimal: Int64(clamping: read))
            }
        case .streamPending(let entry): pending[entry.id] = entry
        case .streamConsumer(let name, _):
            consumer = name.withUnsafeBytes { Array($0) }
            batch.command(5)
            batch.bytes.appendBulk("XGROUP")
            batch.bytes.appendBulk("CREATECONSUMER")
            batch.bytes.appendBulk(key)
            batch.bytes.appendBulk(group)
            batch.bytes.appendBulk(name)
        case .streamConsumerPending(let id): claim(id, into: batch)
        default: break
        }
    }

    private func appendID(_ id: StreamID, into batch: CommandBatch) {
        id.appendBulk(to: &batch.bytes)
    }

    private func node(_ id: StreamID, _ listpack: RawSpan, into batch: CommandBatch) {
        do throws(WireError) {
            var reader = try StreamNodeReader(masterID: id, listpack: listpack)
            while let entry = try reader.next() {
                if entry.isDeleted { continue }
                entries += 1
                batch.command(3 + 2 * entry.fieldCount)
                batch.bytes.appendBulk("XADD")
                batch.bytes.appendBulk(key)
                appendID(entry.id, into: batch)
                var fields = entry.fields
                while let field = try fields.next() {
                    field.name.appendBulk(to: &batch.bytes)
                    field.value.appendBulk(to: &batch.bytes)
                }
            }
        } catch {
            if failure == nil { failure = error }
        }
    }

    private func finishEntries(_ info: StreamInfo, into batch: CommandBatch) {
        if entries == 0 {
            // A stream without entries comes into being with a group, which goes again; no id is used up.
            for (verb, arguments) in [("CREATE" as StaticString, 6), ("DESTROY", 4)] {
                batch.command(arguments)
                batch.bytes.appendBulk("XGROUP")
                batch.bytes.appendBulk(verb)
                batch.bytes.appendBulk(key)
                batch.bytes.appendBulk("df2redis")
                guard arguments == 6 else { continue }
                batch.bytes.appendBulk("0")
                batch.bytes.appendBulk("MKSTREAM")
            }
        }
        batch.command(info.entriesAdded == nil ? 3 : info.maxDeletedID == nil ? 5 : 7)
        batch.bytes.appendBulk("XSETID")
        batch.bytes.appendBulk(key)
        appendID(info.lastID, into: batch)
        guard let added = info.entriesAdded else { return }
        batch.bytes.appendBulk("ENTRIESADDED")
        batch.bytes.appendBulk(decimal: Int64(clamping: added))
        guard let deleted = info.maxDeletedID else { return }
        batch.bytes.appendBulk("MAXDELETEDID")
        appendID(deleted, into: batch)
    }

    private func claim(_ id: StreamID, into batch: CommandBatch) {
        guard let entry = pending.removeValue(forKey: id) else {
            lostPendingEntries += 1
            return
        }
        batch.reportsEmptyReplies = true
        batch.command(12)
        batch.bytes.appendBulk("XCLAIM")
        batch.bytes.appendBulk(key)
        batch.bytes.appendBulk(group)
        batch.bytes.appendBulk(consumer)
        batch.bytes.appendBulk("0")
        appendID(id, into: batch)
        batch.bytes.appendBulk("TIME")
        batch.bytes.appendBulk(decimal: entry.deliveryTimeMilliseconds)
        batch.bytes.appendBulk("RETRYCOUNT")
        batch.bytes.appendBulk(decimal: Int64(clamping: entry.deliveryCount))
        batch.bytes.appendBulk("FORCE")
        batch.bytes.appendBulk("JUSTID")
    }
}
