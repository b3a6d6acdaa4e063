import Dragonfly
import Logging
import Redis
import Wire

/// Leaves out copies that the source keeps of a key in shards that do not own it (`KeyOwnership`): they are no data.
///
/// A key is read at the source when a copy of it is left out for the first time. So the target gets the right value
/// even if the key is no copy, because the source distributes its keys in another way than the flow has shown so far.
final class OwnershipStage: RecordStage {
    /// The limit of `copies`.
    private static let mostCopies = 1 << 16

    private let reports: EncoderReports
    private var ownership: KeyOwnership
    /// Hashes of the keys whose copies have been left out.
    private var copies: Set<UInt64> = []
    /// In a full sync, the strings that wait until it is known whether they are such copies.
    private var undecided: UndecidedHLLs?

    init(_ flow: FlowID, _ context: FlowContext, _ reports: EncoderReports) {
        self.reports = reports
        ownership = KeyOwnership(flow: flow, flowCount: context.flowCount)
    }

    /// How the master distributes keys, as far as the flow's keys have shown.
    var placement: KeyPlacement { ownership.placement }

    // MARK: The snapshot

    /// Begins a snapshot. From here on strings may wait, and are passed to `write` once it is known that they are data.
    func beginSnapshot(_ write: @escaping (UndecidedHLLs.Entry) -> Void) { undecided = UndecidedHLLs(write: write) }

    /// Ends the snapshot and decides about all strings that wait.
    func endSnapshot() {
        resolveUndecided()
        undecided = nil
    }

    /// Decides about a string of the snapshot: it is written now, waits, or has been reported as a copy.
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

    /// Learns from `key`, which belongs to the flow, how the master distributes keys.
    func learn(fromOwnKey key: RawSpan) {
        let (neededEvidence, wasContradicted) = (ownership.needsEvidence, placement.isContradicted)
        ownership.learn(fromOwnKey: key)
        if neededEvidence, !ownership.needsEvidence { resolveUndecided() }
        if placement.isContradicted, !wasContradicted {
            reports.reportOnce(
                "the source distributes its keys by a flag that df2redis does not know, such as --locktag_delimiter: copies that PFMERGE leaves in other shards are not recognised, and written",
                level: .notice)
        }
    }

    // MARK: The journal

    /// Drops a record that writes such a copy or removes it (by eviction).
    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        // The values on which a record builds must be written before it.
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
        if copies.count == Self.mostCopies { copies.removeAll() }
        if copies.insert(KeyPlacement.hash(key) &+ UInt64(database)).inserted, let owner = placement.flow(of: key) {
            reports.refresh(key, database: database, of: owner)
        }
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
    /// Whether the first argument is a key that certainly belongs to the flow's own shard.
    fileprivate var isOfItsFirstKey: Bool {
        switch name {
        case "SET", "INCR", "INCRBY", "APPEND", "HSET", "LPUSH", "RPUSH", "SADD", "ZADD", "XADD", "PFADD", "PEXPIREAT":
            true
        default: false
        }
    }
}
