import Dragonfly
import Redis
import Wire

/// Leaves out copies that the source keeps of a key in shards that do not own it (`KeyOwnership`): they are no data.
final class OwnershipStage: RecordStage {
    private let reports: EncoderReports
    private var ownership: KeyOwnership
    /// In a full sync: strings that may be such copies, until it is known.
    private var undecided: UndecidedHLLs?

    init(_ flow: FlowID, _ context: FlowContext, _ reports: EncoderReports) {
        self.reports = reports
        ownership = KeyOwnership(flow: flow, flowCount: context.flowCount)
    }

    /// What the flow's keys have shown of how the master distributes keys.
    var placementEvidence: (isByKey: Bool, isByTag: Bool) { ownership.evidence }

    // MARK: The snapshot

    /// Strings of a snapshot may wait from here on, and are given to `write` when it is known that they are data.
    func beginSnapshot(_ write: @escaping (UndecidedHLLs.Entry) -> Void) { undecided = UndecidedHLLs(write: write) }

    /// Nothing that waits is lost when the snapshot ends.
    func endSnapshot() {
        resolveUndecided()
        undecided = nil
    }

    /// A string of the snapshot can be written now; otherwise it waits, or has been reported as a copy.
    func admit(_ head: EntryHead, key: RawSpan, value: RawSpan) -> Admission {
        guard value.isDenseHyperLogLog else {
            learn(fromOwnKey: key)
            return .pass
        }
        if ownership.needsEvidence, undecided?.append(head, key: key, value: value) == true { return .wait }
        return isCopy(key, database: head.database, subject: "string") ? .drop : .pass
    }

    private func resolveUndecided() {
        guard let undecided, !undecided.isEmpty else { return }
        for entry in undecided.takeAll()
        where !isCopy(entry.key.span.bytes, database: entry.head.database, subject: "string") {
            undecided.write(entry)
        }
    }

    /// The flow's own `key` may be evidence of what the master hashes.
    func learn(fromOwnKey key: RawSpan) {
        guard ownership.needsEvidence else { return }
        ownership.learn(fromOwnKey: key)
        if !ownership.needsEvidence { resolveUndecided() }
    }

    // MARK: The journal

    /// Drops a record that writes such a copy, or is its end by eviction.
    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        // What a record builds on is written before it.
        if let undecided, undecided.mayConcern(command, database: place.database) { resolveUndecided() }
        guard command.argumentCount >= 2 else { return .pass }
        if command.setsHyperLogLog || (command.name == "DEL" && command.argumentCount == 2) {
            let isCopy = isCopy(
                command.argument(at: 1), database: place.database, subject: command.nameText)
            return isCopy ? .drop : .pass
        }
        if command.isOfItsFirstKey { learn(fromOwnKey: command.argument(at: 1)) }
        return .pass
    }

    private func isCopy(_ key: RawSpan, database: UInt32, subject: @autoclosure () -> String) -> Bool {
        guard ownership.isCopy(key) else { return false }
        reports.record(
            .init(
                severity: .leftOut, kind: .init(.strayCopy), flow: reports.flow, database: database,
                key: printableKey(key),
                reason:
                    "PFMERGE has left it in a shard that does not own the key, where no client of the source sees it",
                subject: subject()))
        return true
    }
}

extension JournalCommand {
    /// The first argument is a key, and surely of the flow's own shard.
    fileprivate var isOfItsFirstKey: Bool {
        switch name {
        case "SET", "INCR", "INCRBY", "APPEND", "HSET", "LPUSH", "RPUSH", "SADD", "ZADD", "XADD", "PFADD", "PEXPIREAT":
            true
        default: false
        }
    }
}
