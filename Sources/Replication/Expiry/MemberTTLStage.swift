import Dragonfly
import Link
import Redis
import Wire

/// Keeps the TTLs of elements: writes the commands that give such TTLs, and commands that other commands need before or
/// after them.
///
/// The TTLs themselves are in the target (`ElementExpiry`). The stage keeps fingerprints of the keys that may have some, in
/// an unnamed file. A key that no longer has any costs a script that finds nothing. Lives on its flow's queue.
final class MemberTTLStage: RecordStage {
    let expiry: ElementExpiry
    /// Whether the last sweep has left some elements.
    var wantsSweep = false
    /// The databases with keys whose elements may have TTLs.
    private(set) var databases: Set<UInt32> = []

    /// In a cluster: the slots with such keys, and the place in the list where the next sweep begins.
    private var slots: [KeySlot] = []
    private var hasSlot: [Bool] = []
    private var nextSlot = 0
    /// The maximum number of slots in one sweep.
    private static let slotsOfSweep = 512

    private let builder: BatchBuilder
    private let reports: EncoderReports
    private let position: StreamPosition
    private let expiryGuard: ExpiryGuard?
    /// Called before the first key is noted.
    private let reportFirst: () -> Void
    private let directory: String?
    private var keys: KeySet?
    private var keysInMemory: Set<UInt64> = []
    /// Whether there is no room for more fingerprints, so every key may have such TTLs.
    private var isFull = false
    /// The key that a sweep's script names, in the form used in messages.
    private lazy var printableDueKey: String = {
        let key = expiry.dueKey
        return printableKey(key.span.bytes)
    }()

    func isDueList(_ printableKey: String) -> Bool {
        if printableKey == printableDueKey { return true }
        // In a cluster the slot's tag comes first.
        return expiry.isInCluster && printableKey.hasSuffix(printableDueKey.dropFirst())
    }

    /// How the source behaves, as far as its version decides what it journals.
    var source: SourceBehaviour

    private static let maxKeysInMemory = 100_000

    /// - Parameter context: its `directory` holds the file; if `nil`, fingerprints stay in memory.
    init(
        _ context: FlowContext, _ profile: TargetProfile, _ builder: BatchBuilder, _ reports: EncoderReports,
        _ position: StreamPosition, expiryGuard: ExpiryGuard?
    ) {
        expiry = ElementExpiry(
            task: context.task, flow: reports.flow.index, hasNativeFields: profile.hasFieldExpiry,
            isInCluster: context.cluster != nil, keepsMembers: context.policy.elementExpiry == .timer)
        directory = context.directory
        source = context.session.behaviour
        self.builder = builder
        self.reports = reports
        self.position = position
        self.expiryGuard = expiryGuard
        let incidents = context.incidents
        let first =
            profile.hasFieldExpiry
            ? "TTLs of set members have no equal in the target, and hash fields it may end too early: df2redis keeps both in "
                + "keys of its own"
            : "TTLs of set members and hash fields have no equal in the target: df2redis keeps them in keys of its own"
        let policy = context.policy.elementExpiry == .timer ? "timer" : "unsupported, but for fields"
        reportFirst = {
            incidents.reportOnce("\(first), and ends them as long as this task runs (policy.memberTTL: \(policy))")
        }
    }

    var isEmpty: Bool { databases.isEmpty }

    // MARK: Keys that may have TTLs of elements

    func note(_ key: RawSpan, database: UInt32) {
        if isEmpty { reportFirst() }
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

    // MARK: Values and sweeps

    /// Drops the element TTLs of a key whose value is about to be replaced or removed.
    func replace(_ key: RawSpan, database: UInt32) {
        if mayHave(key, database: database) { expiry.drop(key, into: builder.batch) }
    }

    /// Removes elements that were due by `time`.
    func sweep(until time: Int64) {
        guard expiry.isInCluster else {
            for database in databases.sorted() where builder.select(database) {
                expiry.sweep(until: time, into: builder.batch)
            }
            return
        }
        // If there are many slots, they take turns.
        let count = min(slots.count, Self.slotsOfSweep)
        for database in databases.sorted() where builder.select(database) {
            for place in nextSlot..<(nextSlot + count) {
                expiry.sweep(until: time, in: slots[place % slots.count], into: builder.batch)
            }
        }
        nextSlot = slots.isEmpty ? 0 : (nextSlot + count) % slots.count
    }

    /// Writes the `MOVE` of a key that may have TTLs of elements.
    func move(_ key: RawSpan, from database: UInt32, to target: RawSpan) {
        expiry.move(key, from: database, to: target, into: builder.batch)
        guard let number = parseInteger(target).flatMap({ UInt32(exactly: $0) }) else { return }
        note(key, database: number)
        expiryGuard?.moved(key, database: database, to: key, database: number, mayStay: true)
    }

    // MARK: Before a command

    /// Writes the commands that must come before `command`, or that replace it.
    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        guard command.argumentCount > 1 else { return .pass }
        let database = place.database
        let key = command.argument(at: 1)
        if let outcome = writeTTLs(command) {
            if outcome == .written { note(key, database: database) }
            guard case .unsupported(let unsupported) = outcome else { return .written }
            reports.report(unsupported, subject: command.nameText, key: command.keyOrEmpty, database: database)
            return .drop
        }
        guard !isEmpty || command.name == "RESTORE" else { return .pass }
        let isKnown = mayHave(key, database: database)
        let last = command.argumentCount - 1
        switch command.name {
        case "SADD" where isKnown: removeExpired(command, from: 2, to: last, isHash: false)
        case "HSETNX" where isKnown, "HINCRBY" where isKnown, "HINCRBYFLOAT" where isKnown:
            removeExpired(command, from: 2, to: min(2, last), isHash: true)
        case "HSET" where isKnown, "HMSET" where isKnown:
            expiry.forget(command, elementsFrom: 2, step: 2, into: builder.batch)
        case "SREM" where isKnown, "HDEL" where isKnown: expiry.forget(command, elementsFrom: 2, into: builder.batch)
        case "RENAMENX" where command.argumentCount == 3:
            // The journal has only RENAMENX commands that succeeded. If the new key still exists in the target, all its
            // elements must be due.
            let newKey = command.argument(at: 2)
            if mayHave(newKey, database: database) { builder.batch.append("UNLINK", newKey) }
        case "MOVE" where isKnown && command.argumentCount == 3:
            move(key, from: database, to: command.argument(at: 2))
            return .written
        case "RESTORE", "SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE", "DEL", "UNLINK":
            // A RESTORE may bring new TTLs.
            dropKeys(of: command, database: database)
            if command.name == "RESTORE", command.argumentCount > 3, command.argument(at: 3).holdsElementExpiries {
                note(key, database: database)
            }
        default: break
        }
        return .pass
    }

    private func removeExpired(
        _ command: borrowing JournalCommand, from first: Int, to last: Int, isHash: Bool
    ) {
        expiry.removeExpired(
            namedBy: command, from: first, to: last, isHash: isHash, in: position.window, into: builder.batch)
    }

    /// Writes a command that gives TTLs to elements.
    ///
    /// - Returns: `nil` if the command gives none.
    private func writeTTLs(_ command: borrowing JournalCommand) -> RewriteOutcome? {
        let (window, batch) = (position.window, builder.batch)
        switch command.name {
        case "SADDEX" where expiry.keepsMembers:
            return expiry.addMembers(
                command, in: window, keepsPermanent: source.has(.addKeepsPermanentMembers), into: batch)
        case "FIELDEXPIRE": return expiry.expireElements(command, in: window, into: batch)
        case "HSETEX": return expiry.setFields(command, in: window, into: batch)
        case "HEXPIRE": return expiry.expireFields(command, in: window, into: batch)
        case "HGETEX": return expiry.expireReadFields(command, in: window, into: batch)
        default: return nil
        }
    }

    private func dropKeys(of command: borrowing JournalCommand, database: UInt32) {
        command.forEachWrittenKey(in: database) { key, place in
            if place == database { replace(key, database: database) }
        }
    }

    // MARK: After a command

    /// Writes the commands that must follow a command that has been rewritten.
    func wrote(_ command: borrowing JournalCommand, at place: RecordPlace) {
        guard !isEmpty, command.argumentCount > 1 else { return }
        switch command.name {
        case "SADD", "HSETNX", "HINCRBY", "HINCRBYFLOAT", "HSET", "HMSET", "SREM", "HDEL", "RESTORE", "SUNIONSTORE",
            "SINTERSTORE", "SDIFFSTORE", "DEL", "UNLINK":
            return
        case "RENAME", "RENAMENX": renamed(command, database: place.database)
        default:
            command.forEachWrittenKey(in: place.database) { key, database in
                if database == place.database, mayHave(key, database: database) {
                    expiry.check(key, into: builder.batch)
                }
            }
        }
    }

    private func renamed(_ command: borrowing JournalCommand, database: UInt32) {
        guard command.argumentCount == 3 else { return }
        let (key, newKey) = (command.argument(at: 1), command.argument(at: 2))
        let isKnown = mayHave(key, database: database)
        guard isKnown || mayHave(newKey, database: database) else { return }
        expiry.renamed(key, to: newKey, into: builder.batch)
        if isKnown { note(newKey, database: database) }
    }
}

extension RDBType {
    /// Whether the type is a set or hash whose elements have TTLs.
    var hasElementExpiries: Bool { self == .setWithExpiry || self == .hashWithExpiry }
}

extension RawSpan {
    /// Whether this is a DUMP payload of a set or hash whose elements have TTLs.
    var holdsElementExpiries: Bool {
        byteCount > 0 && RDBType(rawValue: self[0])?.hasElementExpiries == true
    }
}
