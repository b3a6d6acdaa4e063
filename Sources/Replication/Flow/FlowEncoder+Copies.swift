import Redis
import Wire

/// Copies that the source keeps of a key in shards that are not the key's (`KeyOwnership`) are no data of the source.
extension FlowEncoder {
    /// Names them in counters and the log.
    static let copyKind = "stray-copy"

    /// Strings that may be such copies wait until it is known, or until there are so many.
    private static let mostUnjudged = 16

    /// A string of the snapshot can be written now; otherwise it waits, or has been told as a copy.
    func isJudged(_ head: EntryHead, key: RawSpan, value: RawSpan) -> Bool {
        guard value.isDenseHyperLogLog else {
            witness(key)
            return true
        }
        if ownership.isUnproven, unjudged.count < Self.mostUnjudged {
            unjudged.append(UnjudgedString(head, key: key, value: value))
            return false
        }
        return !isCopy(key, database: head.database, subject: "string")
    }

    /// The flow's own `key` may prove what the master hashes.
    func witness(_ key: RawSpan) {
        guard ownership.isUnproven else { return }
        ownership.witness(key)
        if !ownership.isUnproven { judge() }
    }

    /// Writes what has waited, or tells it as copies.
    func judge() {
        guard !unjudged.isEmpty else { return }
        let strings = unjudged
        unjudged = []
        for string in strings {
            let key = string.key.span.bytes
            if isCopy(key, database: string.head.database, subject: "string") { continue }
            writeString(string.head, key: key, value: string.value.span.bytes)
        }
    }

    /// A record writes such a copy, or is its end by eviction; it has been told.
    func isCopy(_ command: borrowing JournalCommand, database: UInt32) -> Bool {
        if !unjudged.isEmpty { judgeAhead(of: command, database: database) }
        guard command.argumentCount >= 2 else { return false }
        if command.setsHyperLogLog || (command.name.isText("DEL") && command.argumentCount == 2) {
            return isCopy(command.argument(at: 1), database: database, subject: text(command.name))
        }
        if command.isOfItsFirstKey { witness(command.argument(at: 1)) }
        return false
    }

    /// What a record builds on stands before it.
    private func judgeAhead(of command: borrowing JournalCommand, database: UInt32) {
        var isConcerned = false
        command.forEachWrittenKey(in: database) { key, _ in
            isConcerned = isConcerned || unjudged.contains { key.isEqual(to: $0.key.span.bytes) }
        }
        if isConcerned { judge() }
    }

    private func isCopy(_ key: RawSpan, database: UInt32, subject: String) -> Bool {
        guard ownership.isCopy(key) else { return false }
        context.incidents.record(
            .init(
                severity: .leftOut, kind: Self.copyKind, flow: flow, database: database, key: printableKey(key),
                reason:
                    "PFMERGE has left it in a shard that does not own the key, where no client of the source sees it",
                subject: subject))
        return true
    }
}

/// A string of a snapshot that may be a copy.
struct UnjudgedString {
    let head: EntryHead
    let key: [UInt8]
    let value: [UInt8]

    init(_ head: EntryHead, key: RawSpan, value: RawSpan) {
        self.head = head
        self.key = key.withUnsafeBytes { Array($0) }
        self.value = value.withUnsafeBytes { Array($0) }
    }
}

extension JournalCommand {
    /// The first argument is a key, and surely of the flow's own shard.
    fileprivate var isOfItsFirstKey: Bool {
        let name = name
        return name.isText("SET") || name.isText("INCR") || name.isText("INCRBY") || name.isText("APPEND")
            || name.isText("HSET") || name.isText("LPUSH") || name.isText("RPUSH") || name.isText("SADD")
            || name.isText("ZADD") || name.isText("XADD") || name.isText("PFADD") || name.isText("PEXPIREAT")
    }
}
