import Wire

/// Writes a stream as XADD, XSETID, XGROUP and XCLAIM, for streams that are too large for one RESTORE.
///
/// Deleted entries are not written, but their traces are: last ID, entries added, greatest deleted ID. The target itself
/// drops pending entries whose stream entries are deleted, and answers with an empty reply
/// (`CommandBatch.reportsEmptyReplies`). Source: Protocol 3.7.4, "Re-creation with exact semantics".
final class StreamWriter {
    private let key: [UInt8]
    private var entries: UInt64 = 0
    private var group: [UInt8] = []
    private var consumer: [UInt8] = []
    private var pending: [StreamID: StreamPendingEntry] = [:]
    private(set) var lostPendingEntries = 0
    private(set) var groupCount = 0
    /// Why an entry could not be read; the value is incomplete in this case.
    private(set) var failure: WireError?

    init(key: [UInt8]) { self.key = key }

    func write(_ event: borrowing ValueEvent, into batch: CommandBatch) {
        switch event {
        case .streamNode(let id, let listpack): node(id, listpack, into: batch)
        case .streamInfo(let info): finishEntries(info, into: batch)
        case .streamGroup(let name, let info):
            group = Array(copying: name)
            pending = [:]
            groupCount += 1
            batch.append("XGROUP") {
                $0.append("CREATE")
                $0.append(key)
                $0.append(name)
                $0.append(info.lastID)
                if let read = info.entriesRead {
                    $0.append("ENTRIESREAD")
                    $0.append(Int64(clamping: read))
                }
            }
        case .streamPending(let entry): pending[entry.id] = entry
        case .streamConsumer(let name, _):
            consumer = Array(copying: name)
            batch.append("XGROUP") {
                $0.append("CREATECONSUMER")
                $0.append(key)
                $0.append(group)
                $0.append(name)
            }
        case .streamConsumerPending(let id): claim(id, into: batch)
        default: break
        }
    }

    private func node(_ id: StreamID, _ listpack: RawSpan, into batch: CommandBatch) {
        do throws(WireError) {
            var reader = try StreamNodeReader(masterID: id, listpack: listpack)
            while let entry = try reader.next() {
                if entry.isDeleted { continue }
                entries += 1
                try batch.append("XADD") { (list) throws(WireError) in
                    list.append(key)
                    list.append(entry.id)
                    var fields = entry.fields
                    while let field = try fields.next() {
                        list.append(field.name)
                        list.append(field.value)
                    }
                }
            }
        } catch {
            if failure == nil { failure = error }
        }
    }

    private func finishEntries(_ info: StreamInfo, into batch: CommandBatch) {
        if entries == 0 {
            // A stream without entries is created by creating a group, which is destroyed again. This uses up no ID.
            batch.append("XGROUP") {
                $0.append("CREATE")
                $0.append(key)
                $0.append("df2redis")
                $0.append("0")
                $0.append("MKSTREAM")
            }
            batch.append("XGROUP") {
                $0.append("DESTROY")
                $0.append(key)
                $0.append("df2redis")
            }
        }
        batch.append("XSETID") {
            $0.append(key)
            $0.append(info.lastID)
            guard let added = info.entriesAdded else { return }
            $0.append("ENTRIESADDED")
            $0.append(Int64(clamping: added))
            guard let deleted = info.maxDeletedID else { return }
            $0.append("MAXDELETEDID")
            $0.append(deleted)
        }
    }

    private func claim(_ id: StreamID, into batch: CommandBatch) {
        guard let entry = pending.removeValue(forKey: id) else {
            lostPendingEntries += 1
            return
        }
        batch.reportsEmptyReplies = true
        batch.append("XCLAIM") {
            $0.append(key)
            $0.append(group)
            $0.append(consumer)
            $0.append("0")
            $0.append(id)
            $0.append("TIME")
            $0.append(entry.deliveryTimeMilliseconds)
            $0.append("RETRYCOUNT")
            $0.append(Int64(clamping: entry.deliveryCount))
            $0.append("FORCE")
            $0.append("JUSTID")
        }
    }
}
