import Dragonfly
import Link
import Redis
import Wire

/// Which of a flow's keys have elements whose TTLs are kept by us, and what their commands need besides.
///
/// The book itself is in the target (`ElementExpiry`). Here are fingerprints of the keys that may be in it, in a file
/// without a name; a key that no longer is costs a script that finds nothing. It lives on its flow's queue.
final class ElementExpiryBook {
    let expiry: ElementExpiry
    private let directory: String?
    private var keys: KeySet?
    private var keysInMemory: Set<UInt64> = []
    /// There is no room for more fingerprints: every key may be in the book.
    private var isFull = false
    /// Databases with keys in the book.
    private(set) var databases: Set<UInt32> = []
    /// In a cluster, slots with keys in the book, and where the next sweep begins.
    private var slots: [KeySlot] = []
    private var hasSlot: [Bool] = []
    private var nextSlot = 0
    private let told: () -> Void

    private static let maxKeysInMemory = 100_000
    /// Slots that one sweep looks into.
    private static let slotsOfSweep = 512

    /// - Parameters:
    ///   - directory: where the file goes; `nil`: fingerprints stay in memory.
    ///   - told: called with the first key.
    init(expiry: ElementExpiry, directory: String?, told: @escaping () -> Void) {
        self.expiry = expiry
        self.directory = directory
        self.told = told
    }

    convenience init(_ flow: FlowID, _ context: FlowContext, _ profile: TargetProfile) {
        let expiry = ElementExpiry(
            task: context.task, flow: flow.index, hasNativeFields: profile.hasFieldExpiry,
            isInCluster: context.cluster != nil)
        let incidents = context.incidents
        let what = profile.hasFieldExpiry ? "set members" : "set members and hash fields"
        self.init(expiry: expiry, directory: context.directory) {
            incidents.tellOnce(
                "TTLs of \(what) have no equal in the target: df2redis keeps them in keys of its own, and ends them as long "
                    + "as this task runs (policy.memberTTL: timer)")
        }
    }

    var isEmpty: Bool { databases.isEmpty }

    func note(_ key: RawSpan, database: UInt32) {
        if isEmpty { told() }
        databases.insert(database)
        if expiry.isInCluster { note(KeySlot(of: key)) }
        insert(KeySet.fingerprint(key, database: database))
    }

    private func note(_ slot: KeySlot) {
        if hasSlot.isEmpty { hasSlot = [Bool](repeating: false, count: KeySlot.count) }
        guard !hasSlot[Int(slot.number)] else { return }
        hasSlot[Int(slot.number)] = true
        slots.append(slot)
    }

    private func insert(_ fingerprint: UInt64) {
        guard !isFull else { return }
        guard let directory else {
            keysInMemory.insert(fingerprint)
            isFull = keysInMemory.count >= Self.maxKeysInMemory
            return
        }
        do throws(SystemError) {
            if keys == nil { keys = try KeySet(directory: directory) }
            try keys?.insert(fingerprint)
        } catch {
            isFull = true
        }
    }

    func mayHave(_ key: RawSpan, database: UInt32) -> Bool {
        guard databases.contains(database) else { return false }
        if isFull { return true }
        let fingerprint = KeySet.fingerprint(key, database: database)
        return keys?.contains(fingerprint) ?? keysInMemory.contains(fingerprint)
    }

    /// A value of the snapshot is about to take the place of what stands there.
    func replace(_ key: RawSpan, database: UInt32, into batch: CommandBatch) {
        if mayHave(key, database: database) { expiry.drop(key, into: batch) }
    }

    func sweep(until time: Int64, into batch: CommandBatch, select: (UInt32) -> Bool) {
        guard expiry.isInCluster else {
            for database in databases.sorted() where select(database) { expiry.sweep(until: time, into: batch) }
            return
        }
        // Where there are many slots they take turns.
        let count = min(slots.count, Self.slotsOfSweep)
        for database in databases.sorted() where select(database) {
            for place in nextSlot..<(nextSlot + count) {
                expiry.sweep(until: time, in: slots[place % slots.count], into: batch)
            }
        }
        nextSlot = slots.isEmpty ? 0 : (nextSlot + count) % slots.count
    }

    // MARK: Journal

    /// Writes a command with what the TTLs of its key's elements ask for.
    func write(
        _ command: borrowing JournalCommand, database: UInt32, at moment: ElementExpiry.Moment,
        with rewriter: inout JournalRewriter, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount > 1, let name = CommandName(command.name) else {
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        }
        let key = command.argument(at: 1)
        if let outcome = writeTTLs(name, command, at: moment, from: rewriter.source, into: batch) {
            if outcome == .written { note(key, database: database) }
            return outcome
        }
        guard !isEmpty || name == "RESTORE" else {
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        }
        let isKnown = mayHave(key, database: database)
        let last = command.argumentCount - 1
        switch name {
        case "SADD" where isKnown:
            expiry.settle(command, elementsFrom: 2, to: last, removal: "SREM", at: moment, into: batch)
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        case "HSETNX" where isKnown, "HINCRBY" where isKnown, "HINCRBYFLOAT" where isKnown:
            expiry.settle(command, elementsFrom: 2, to: min(2, last), removal: "HDEL", at: moment, into: batch)
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        case "HSET" where isKnown, "HMSET" where isKnown:
            expiry.forget(command, elementsFrom: 2, step: 2, into: batch)
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        case "SREM" where isKnown, "HDEL" where isKnown:
            expiry.forget(command, elementsFrom: 2, into: batch)
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        case "SADD", "HSETNX", "HINCRBY", "HINCRBYFLOAT", "HSET", "HMSET", "SREM", "HDEL":
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        case "RENAME", "RENAMENX": return rename(command, database: database, at: moment, with: &rewriter, into: batch)
        case "MOVE" where isKnown && command.argumentCount == 3:
            move(key, from: database, to: command.argument(at: 2), into: batch)
            return .written
        case "RESTORE", "SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE", "DEL", "UNLINK":
            // RESTORE may write TTLs anew.
            dropKeys(of: command, database: database, into: batch)
            if name == "RESTORE", command.argumentCount > 3, holdsTTLs(command.argument(at: 3)) {
                note(key, database: database)
            }
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        default:
            let outcome = rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
            if case .global = outcome { return outcome }
            command.forEachWrittenKey(in: database) { key, place in
                if place == database, mayHave(key, database: database) { expiry.check(key, into: batch) }
            }
            return outcome
        }
    }

    /// - Returns: `nil` for a command that gives no TTL.
    private func writeTTLs(
        _ name: CommandName, _ command: borrowing JournalCommand, at moment: ElementExpiry.Moment,
        from source: SourceBehaviour, into batch: CommandBatch
    ) -> RewriteOutcome? {
        switch name {
        case "SADDEX":
            expiry.addMembers(
                command, at: moment, keepsPermanent: source.has(.addKeepsPermanentMembers), into: batch)
        case "FIELDEXPIRE": expiry.expireElements(command, at: moment, into: batch)
        case "HSETEX" where !expiry.hasNativeFields: expiry.setFields(command, at: moment, into: batch)
        case "HEXPIRE" where !expiry.hasNativeFields: expiry.expireFields(command, at: moment, into: batch)
        case "HGETEX" where !expiry.hasNativeFields: expiry.expireReadFields(command, at: moment, into: batch)
        default: nil
        }
    }

    private func holdsTTLs(_ payload: RawSpan) -> Bool {
        payload.byteCount > 0 && RDBType(rawValue: payload[0])?.hasElementExpiries == true
    }

    private func dropKeys(of command: borrowing JournalCommand, database: UInt32, into batch: CommandBatch) {
        command.forEachWrittenKey(in: database) { key, place in
            if place == database, mayHave(key, database: database) { expiry.drop(key, into: batch) }
        }
    }

    private func rename(
        _ command: borrowing JournalCommand, database: UInt32, at moment: ElementExpiry.Moment,
        with rewriter: inout JournalRewriter, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount == 3 else {
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        }
        let (key, newKey) = (command.argument(at: 1), command.argument(at: 2))
        let isKnown = mayHave(key, database: database)
        guard isKnown || mayHave(newKey, database: database) else {
            return rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        }
        if command.name.isWord("RENAMENX"), mayHave(newKey, database: database) {
            // Only one that succeeded is in the journal, and what stands there may be all due.
            batch.command(2)
            batch.bytes.appendBulk("UNLINK")
            batch.bytes.appendBulk(newKey)
        }
        let outcome = rewriter.rewrite(command, database: database, now: moment.latest, into: batch)
        expiry.renamed(key, to: newKey, into: batch)
        if isKnown { note(newKey, database: database) }
        return outcome
    }

    /// `MOVE` of a key that may be in the book.
    func move(_ key: RawSpan, from database: UInt32, to target: RawSpan, into batch: CommandBatch) {
        expiry.move(key, from: database, to: target, into: batch)
        if let number = parseInteger(target).flatMap({ UInt32(exactly: $0) }) { note(key, database: number) }
    }
}

extension RDBType {
    /// Sets and hashes whose elements have TTLs.
    var hasElementExpiries: Bool { self == .setWithExpiry || self == .hashWithExpiry }
}
