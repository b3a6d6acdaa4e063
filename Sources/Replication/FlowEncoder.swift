import Dragonfly
import Redis
import Wire

/// What a flow's bytes mean for the target: the decoder's sink, which fills batches with commands.
///
/// Lives on its applier's queue.
final class FlowEncoder: FlowSink {
    /// Why decoding must not go on before somebody acts.
    enum Halt {
        /// Every flow meets before and after this command.
        case global(GlobalCommand, transactionID: UInt64)
        /// The source was emptied during the snapshot: begin again.
        case restart(GlobalCommand)
        /// The target is to be asked for keys (`ConflictGuard`).
        case questions
        case failure(ReplicationError)
    }

    /// A batch of so many bytes is sent; also the size at which decoding waits for the batch before.
    static let batchBytes = 256 << 10

    let flow: FlowID
    private(set) var batch: CommandBatch
    let reserved: ReservedKeys
    private(set) var halt: Halt?
    private(set) var isStable: Bool
    private(set) var hasCompletedSnapshot: Bool
    /// The LSN of the next record; 0 until the flow has told it.
    private(set) var nextLSN: UInt64
    private(set) var masterVersion: String?
    /// Unix time in milliseconds at which what is being decoded arrived, by the source's clock: the times of the stream
    /// are the source's.
    var arrivedAt: Int64 = 0
    /// The same of the oldest of it.
    private var oldestArrival: Int64 = 0
    /// TTLs of elements that the target cannot keep; `nil`: nobody does.
    let book: ElementExpiryBook?
    /// Records before it may have been written long before they arrived.
    var catchesUpUntil: UInt64 = 0
    /// A batch holds one sweep of a kind at most.
    private var hasSwept = false
    /// The last sweep has left some.
    var wantsSweep = false
    private(set) lazy var printableDueKey: String = {
        let key = book?.expiry.dueKey ?? []
        return printableKey(key.span.bytes)
    }()
    /// Keeps the target from expiring what the stream has not expired; `nil`: deadlines are written as they come.
    var expiry: ExpiryGuard? { didSet { rewriter.deadlines = expiry } }

    private let context: FlowContext
    private let profile: TargetProfile
    private var rewriter: JournalRewriter
    private var selectedDatabase: UInt32?
    private var scratch = ByteBuffer()
    /// While a full sync reconciles: what it has brought.
    var synced: SyncedKeys?
    /// While a full sync must not touch the target's own keys.
    var conflicts: ConflictGuard?
    /// During a full sync: which databases are prepared.
    var gate: DatabaseGate?
    /// Databases that this flow has written to.
    private(set) var databases: Set<UInt32> = []
    private(set) var expiredKeys = 0
    private(set) var conflictingKeys = 0
    private var writers: [ChunkStreamID: ValueWriter] = [:]
    /// MOVEs of the full sync that may not have moved anything at the source, by where they would have moved to: the
    /// database that the key came from.
    private var uncertainMoves: [Place: UInt32] = [:]
    private static let maxUncertainMoves = 100_000

    private struct Place: Hashable {
        var database: UInt32
        var key: [UInt8]
    }

    /// - Parameter nextLSN: where a continued flow begins; `nil` for a full sync.
    init(flow: FlowID, context: FlowContext, profile: TargetProfile, nextLSN: LSN?) {
        self.flow = flow
        self.context = context
        self.profile = profile
        rewriter = JournalRewriter(
            profile: profile, journalsGroupReads: context.session.journalsGroupReads,
            expiryMargin: context.expiryMarginMilliseconds)
        book = context.policy.elementExpiry == .timer ? ElementExpiryBook(flow, context, profile) : nil
        rewriter.elementExpiry = book?.expiry
        self.nextLSN = nextLSN?.value ?? 0
        reserved = ReservedKeys(checkpoint: context.checkpointKey.name)
        isStable = nextLSN != nil
        hasCompletedSnapshot = nextLSN != nil
        batch = CommandBatch()
        batch.reportsConflicts = context.policy.onConflict != .overwrite && !isStable
    }

    var isPaused: Bool { halt != nil || gate?.isClosed == true || isBatchFull }

    /// The batch is to be sent before more is decoded.
    var isBatchFull: Bool {
        batch.bytes.count >= Self.batchBytes || (!batch.isInCommand && batch.commandCount >= context.batchCommands)
    }

    /// Hands over the batch and begins the next one, which selects its database anew: a batch may be sent on a new
    /// connection.
    func takeBatch() -> CommandBatch {
        defer {
            batch = CommandBatch()
            batch.reportsConflicts = context.policy.onConflict != .overwrite && !isStable
            selectedDatabase = nil
            hasSwept = false
        }
        return batch
    }

    /// What is decoded next arrived between `oldest` and `newest`, by our clock.
    func arrived(at newest: Int64, oldest: Int64) {
        (arrivedAt, oldestArrival) = (newest + context.clockSkew, oldest + context.clockSkew)
        rewriter.oldestArrival = oldestArrival
        // The stream is to have most of the batch.
        adjustDeadlines(oldestArrival: oldest, limit: Self.batchBytes / 4)
    }

    /// Brings the target's deadlines in line with the lag; `oldestArrival` is `nil` when nothing waits to be decoded.
    func adjustDeadlines(oldestArrival: Int64?, limit: Int = batchBytes) {
        guard let expiry, !batch.isInCommand, halt == nil else { return }
        expiry.look(oldestArrival: oldestArrival)
        expiry.work(on: batch, limit: limit) { select($0) }
    }

    /// Ends the batch's commands in database 0, where the checkpoint stands.
    func prepareForCheckpoint() {
        if selectedDatabase != 0 { appendSelect(0) }
    }

    /// When the source did what is being decoded.
    private var moment: ElementExpiry.Moment {
        let earliest = nextLSN < catchesUpUntil ? 0 : oldestArrival - ElementExpiry.transitMilliseconds
        return ElementExpiry.Moment(earliest: min(earliest, arrivedAt), latest: arrivedAt)
    }

    /// Removes elements whose TTLs have passed, when what is decoded comes up to `time`.
    func sweepElements(until time: Int64) {
        guard let book, !book.isEmpty, isStable, !isPaused, !hasSwept, !batch.isInCommand, nextLSN >= catchesUpUntil
        else { return }
        hasSwept = true
        book.sweep(until: time, into: batch) { select($0) }
    }

    /// The global command has been applied to the target.
    func resumeAfterGlobal() {
        halt = nil
        countRecord()
    }

    func fail(_ code: ReplicationError.Code, _ message: String) {
        fail(ReplicationError(code, flow: flow, message))
    }

    private func fail(_ error: ReplicationError) {
        if case .failure = halt { return }
        halt = .failure(error)
    }

    /// - Returns: `false` when the target has no such database.
    @discardableResult
    private func select(_ database: UInt32) -> Bool {
        guard database != selectedDatabase else { return true }
        guard touch(database) else { return false }
        appendSelect(database)
        return true
    }

    private func appendSelect(_ database: UInt32) {
        batch.command(2)
        batch.bytes.appendBulk("SELECT")
        batch.bytes.appendBulk(decimal: Int64(database))
        selectedDatabase = database
    }

    /// The batch is going to write to `database`.
    private func touch(_ database: UInt32) -> Bool {
        guard database < context.targetDatabases else { return false }
        if databases.insert(database).inserted { gate?.touch(database) }
        return true
    }

    // MARK: Snapshot

    func auxiliaryField(name: RawSpan, value: RawSpan) {
        if name.startsWith("df-ver"), name.byteCount == 6 {
            masterVersion = value.withUnsafeBytes { String(decoding: $0.prefix(64), as: UTF8.self) }
        } else if name.isText("shard-id") {
            guard let shard = parseInteger(value), shard == Int64(flow.index) else {
                return fail(.undecodable, "the flow carries another shard: its shard-id is not \(flow)")
            }
        } else if name.isText("shard-count") {
            guard let count = parseInteger(value), count == Int64(context.flowCount) else {
                return fail(.undecodable, "the master's shard-count is not the \(context.flowCount) flows it announced")
            }
        } else if name.isText("lua"), value.byteCount > 0 {
            batch.command(3)
            batch.bytes.appendBulk("SCRIPT")
            batch.bytes.appendBulk("LOAD")
            batch.bytes.appendBulk(value)
        }
    }

    func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan) {
        guard admit(head, key: key) else { return }
        let guarded = context.policy.onConflict != .overwrite
        batch.command(3 + (head.expiryMilliseconds == nil ? 0 : 2) + (guarded ? 1 : 0))
        if guarded { batch.noteGuarded(key: printableKey(key), database: head.database) }
        batch.bytes.appendBulk("SET")
        batch.bytes.appendBulk(key)
        batch.bytes.appendBulk(value)
        if let expiry = targetDeadline(head, key: key) {
            batch.bytes.appendBulk("PXAT")
            batch.bytes.appendBulk(decimal: expiry)
        }
        if guarded { batch.bytes.appendBulk("NX") }
        batch.progress.keys += 1
    }

    func entry(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        if profile.canRestore(head.type) {
            guard admit(head, key: key) else { return }
            restore(head, key: key, body: body)
            tellGroups(head, key: key, body: body)
            batch.progress.keys += 1
            return
        }
        valueBegan(head, key: key, stream: 0)
        guard let writer = writers[0] else { return }
        writers[0] = nil
        guard writer.write(body, into: batch) else {
            return fail(.undecodable, "the value of \(writer.keyDescription) is malformed")
        }
        ended(writer)
    }

    /// A stream whose groups are read from now on without our being told.
    private func tellGroups(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        guard !context.session.journalsGroupReads, streamHasGroups(head.type, body: body) else { return }
        report(.consumerGroupReads, subject: head.type.name, key: key, database: head.database)
    }

    private func restore(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        do throws(WireError) {
            try ValueValidation.check(head.type, body: body, scratch: &scratch)
        } catch {
            return fail(.undecodable, "the value of \(printableKey(key)) is malformed: \(error)")
        }
        let expiry = targetDeadline(head, key: key)
        let guardedIn = context.policy.onConflict == .overwrite ? nil : head.database
        guard head.type == .stream3, !profile.understandsStream3 else {
            return batch.appendRestore(
                key: key, type: head.type, body: body, expiryMilliseconds: expiry, guardedIn: guardedIn
            )
        }
        var downgraded = ByteBuffer(capacity: body.byteCount)
        do throws(WireError) {
            try downgraded.append(streamWithoutActiveTimes: body)
        } catch {
            return fail(.undecodable, "the stream \(printableKey(key)) is malformed: \(error)")
        }
        batch.appendRestore(
            key: key, type: .stream2, body: downgraded.bytes, expiryMilliseconds: expiry, guardedIn: guardedIn)
    }

    func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {
        guard admit(head, key: key) else { return }
        if let unsupported = profile.unsupported(head.type) {
            report(unsupported, subject: head.type.name, key: key, database: head.database)
            return removeReplaced(key)
        }
        let guardKey =
            context.policy.onConflict == .overwrite
            ? nil : Array("df2redis:partial:\(context.task):\(flow):\(stream)".utf8)
        if head.type.hasElementExpiries { book?.note(key, database: head.database) }
        writers[stream] = ValueWriter(
            head: head, key: key, profile: profile, now: book == nil ? arrivedAt : moment.earliest, guardKey: guardKey,
            elementExpiry: book?.expiry, deadlines: expiry)
    }

    func value(_ event: borrowing ValueEvent, stream: ChunkStreamID) {
        guard let writer = writers[stream] else { return }
        if !batch.isInCommand, !select(writer.head.database) { return }
        let isEnded = writer.take(event, into: batch)
        if let failure = writer.failure {
            return fail(.undecodable, "the value of \(writer.keyDescription) is malformed: \(failure)")
        }
        guard isEnded else { return }
        writers[stream] = nil
        ended(writer)
    }

    private func ended(_ writer: ValueWriter) {
        batch.progress.keys += 1
        if writer.groupCount > 0, !context.session.journalsGroupReads {
            report(
                .consumerGroupReads, subject: writer.head.type.name, printableKey: writer.keyDescription,
                database: writer.head.database)
        }
        if writer.lostPendingEntries > 0 {
            reportLostPendingEntries(printableKey: writer.keyDescription, database: writer.head.database)
        }
        if writer.lostMemberExpiries > 0 {
            let kind: Unsupported = writer.head.type == .setWithExpiry ? .memberExpiry : .fieldExpiry
            report(
                kind, subject: writer.head.type.name, printableKey: writer.keyDescription,
                database: writer.head.database)
        }
    }

    /// The source has a value at `key` that the target cannot hold: what the target has there is of before.
    private func removeReplaced(_ key: RawSpan) {
        guard halt == nil, isStable || context.policy.onConflict == .overwrite else { return }
        batch.command(2)
        batch.bytes.appendBulk("UNLINK")
        batch.bytes.appendBulk(key)
    }

    /// Selects the key's database and sorts out what has expired.
    private func admit(_ head: EntryHead, key: RawSpan) -> Bool {
        if reserved.contains(key) {
            report(.reservedKey, subject: head.type.name, key: key, database: head.database)
            return false
        }
        guard select(head.database) else {
            report(.database, subject: head.type.name, key: key, database: head.database)
            return false
        }
        if !uncertainMoves.isEmpty { undoMove(to: head.database, key: key) }
        conflicts?.brought(key, database: head.database)
        if let synced {
            synced.brought(key, database: head.database)
            checkRemembering()
        }
        if context.policy.onConflict == .overwrite { book?.replace(key, database: head.database, into: batch) }
        guard let expiry = head.expiryMilliseconds, rewriter.hadPassed(expiry, now: arrivedAt) else { return true }
        expiredKeys += 1
        if context.policy.onConflict == .overwrite {
            batch.command(2)
            batch.bytes.appendBulk("UNLINK")
            batch.bytes.appendBulk(key)
        }
        return false
    }

    private func targetDeadline(_ head: EntryHead, key: RawSpan) -> Int64? {
        guard let time = head.expiryMilliseconds else { return nil }
        return expiry?.deadline(time, key: key, database: head.database) ?? time
    }

    /// A value of the snapshot is older than any MOVE to its place: the source moved nothing, since the place was taken.
    private func undoMove(to database: UInt32, key: RawSpan) {
        let place = Place(database: database, key: key.withUnsafeBytes { Array($0) })
        guard let origin = uncertainMoves.removeValue(forKey: place) else { return }
        if let book, book.mayHave(key, database: database) {
            return book.move(key, from: database, to: Array("\(origin)".utf8).span.bytes, into: batch)
        }
        batch.command(3)
        batch.bytes.appendBulk("MOVE")
        batch.bytes.appendBulk(key)
        batch.bytes.appendBulk(decimal: Int64(origin))
    }

    private func noteMove(_ command: borrowing JournalCommand, from database: UInt32) {
        guard let to = command.moveDestination else { return }
        let key = command.argument(at: 1)
        report(.moveInSnapshot, subject: "MOVE", key: key, database: database)
        guard uncertainMoves.count < Self.maxUncertainMoves else { return }
        uncertainMoves[Place(database: to, key: key.withUnsafeBytes { Array($0) })] = database
    }

    func snapshotCompleted() {
        hasCompletedSnapshot = true
        uncertainMoves = [:]
    }

    func journalOffset(_ lsn: UInt64) { nextLSN = lsn }

    func stableStreamBegan() {
        isStable = true
        conflicts = nil
        context.progress(flow).decoded(next: nextLSN)
    }

    // MARK: Journal

    func command(_ command: borrowing JournalCommand, database: UInt32, inSnapshot: Bool) {
        guard database < context.targetDatabases else {
            report(.database, subject: text(command.name), key: command.keyOrEmpty, database: database)
            if !inSnapshot { countRecord() }
            return
        }
        if waitsOrIsDropped(command, database: database) { return }
        select(database)
        prepare(command, database: database)
        if leavesOutReserved(command, database: database) {
            if !inSnapshot { countRecord() }
            return
        }
        rewriter.isInSnapshot = !hasCompletedSnapshot
        let outcome =
            book?.write(command, database: database, at: moment, with: &rewriter, into: batch)
            ?? rewriter.rewrite(command, database: database, now: arrivedAt, into: batch)
        switch outcome {
        case .written, .nothing: break
        case .global(let global):
            halt = inSnapshot ? .restart(global) : .global(global, transactionID: command.transactionID)
            return
        case .writtenDiverging(.storeInSnapshot):
            report(.storeInSnapshot, subject: text(command.name), key: command.storedKey, database: database)
        case .writtenDiverging(let divergence):
            report(divergence, subject: text(command.name), key: command.keyOrEmpty, database: database)
        case .skippedDiverging(.expiryInThePast):
            report(.expiryInThePast, subject: text(command.name), key: command.keyOrEmpty, database: database)
        case .skippedDiverging(let divergence):
            // In a fragment everything that is no option may be a key that the command has written.
            var arguments = command.arguments
            _ = arguments.next()
            while let argument = arguments.next() {
                if argument.isSortWord { continue }
                report(divergence, subject: text(command.name), key: argument, database: database)
            }
        case .writtenWithout(let unsupported):
            report(unsupported, subject: text(command.name), key: command.keyOrEmpty, database: database)
        case .unsupported(let unsupported):
            report(unsupported, subject: text(command.name), key: command.keyOrEmpty, database: database)
            if unsupported.takesTheKey, command.argumentCount > 1 { removeReplaced(command.argument(at: 1)) }
        }
        guard inSnapshot else { return countRecord() }
        if !hasCompletedSnapshot { noteMove(command, from: database) }
    }

    /// A conflict policy keeps the command from being applied, now or at all.
    private func waitsOrIsDropped(_ command: borrowing JournalCommand, database: UInt32) -> Bool {
        guard let conflicts else { return false }
        let admission = conflicts.admit(command, database: database) { key, place in
            // What stands in a database is asked for once it has been prepared.
            touch(place) && !reserved.contains(key)
        }
        if let failure = conflicts.failure { fail(.file, "\(failure)") }
        if admission == .wait, halt == nil { halt = .questions }
        return admission != .pass
    }

    /// The target has told which of the keys in question it has.
    func resumeAfterQuestions(existing: [ConflictGuard.Place]) {
        guard case .questions = halt else { return }
        halt = nil
        conflicts?.answered(existing: existing) { command($0, database: $1, inSnapshot: true) }
    }

    /// What `command` writes to is noted, and what it would wrongly build on is removed ahead of it.
    private func prepare(_ command: borrowing JournalCommand, database: UInt32) {
        if let destination = command.moveDestination { _ = touch(destination) }
        guard let synced else { return }
        command.forEachWrittenKey(in: database) { key, place in
            guard !reserved.contains(key), synced.brought(key, database: place), select(place) else { return }
            batch.command(2)
            batch.bytes.appendBulk("UNLINK")
            batch.bytes.appendBulk(key)
        }
        select(database)
        checkRemembering()
    }

    /// Without knowing all keys that the sync has brought, an old value can no longer be told from a new one.
    private func checkRemembering() {
        guard let failure = synced?.failure else { return }
        fail(
            .file,
            "the keys that this full sync brings cannot be remembered, so what the source no longer has cannot be removed: "
                + "\(failure) (make room in spool.dir, or set fullSync.existing to replace)")
    }

    func journalPing(inSnapshot: Bool) {
        if !inSnapshot { countRecord() }
    }

    func journalLSN(_ lsn: UInt64) {
        guard lsn &+ 1 == nextLSN else {
            return fail(.undecodable, "the source says that LSN \(lsn) was the last one, we counted to \(nextLSN &- 1)")
        }
    }

    private func countRecord() {
        nextLSN += 1
        batch.progress.records += 1
        context.progress(flow).decoded(next: nextLSN)
    }

    func text(_ name: RawSpan) -> String {
        name.withUnsafeBytes { String(decoding: $0.prefix(64), as: UTF8.self) }
    }

    // MARK: Policy

    private func report(_ divergence: Divergence, subject: String, key: RawSpan, database: UInt32) {
        report(divergence, subject: subject, printableKey: printableKey(key), database: database)
    }

    private func report(_ divergence: Divergence, subject: String, printableKey key: String, database: UInt32) {
        context.incidents.record(
            .init(
                severity: .diverging, kind: divergence.rawValue, flow: flow, database: database, key: key,
                reason: divergence.reason, subject: subject))
    }

    func reportDoubt(printableKey key: String, database: UInt32) {
        report(.elementExpiryInDoubt, subject: "element", printableKey: key, database: database)
    }

    func reportLostPendingEntries(printableKey key: String, database: UInt32) {
        report(.pendingEntries, subject: "stream", printableKey: key, database: database)
    }

    func report(_ unsupported: Unsupported, subject: String, key: RawSpan, database: UInt32) {
        report(unsupported, subject: subject, printableKey: printableKey(key), database: database)
    }

    /// - Returns: the error to stop with, if the policy says so; decoding has been halted with it.
    @discardableResult
    func report(
        _ unsupported: Unsupported, subject: String, printableKey key: String, database: UInt32
    ) -> ReplicationError? {
        context.incidents.record(
            .init(
                severity: .missing, kind: unsupported.rawValue, flow: flow, database: database, key: key,
                reason: unsupported.reason, subject: subject))
        guard context.policy.onUnsupported == .stop, unsupported.mayStop else { return nil }
        let error = ReplicationError(
            .policy, flow: flow,
            "\(subject) \(key) in database \(database): \(unsupported.reason) (policy.onUnsupported: stop; skip goes on)"
        )
        fail(error)
        return error
    }

    /// Keys of our own under which values were being built, with their databases.
    var partialKeys: [(database: UInt32, key: [UInt8])] {
        writers.values.compactMap { writer in writer.partialKey.map { (writer.head.database, $0) } }
    }

    func countConflict() { conflictingKeys += 1 }
}

extension RawSpan {
    fileprivate func isText(_ text: StaticString) -> Bool { byteCount == text.utf8CodeUnitCount && startsWith(text) }
}

extension JournalCommand {
    /// What follows the last STORE or STOREDIST; the first key where there is none.
    fileprivate var storedKey: RawSpan {
        @_lifetime(copy self)
        get {
            for place in stride(from: argumentCount - 2, to: 1, by: -1) {
                let word = argument(at: place)
                if word.isWord("STORE") || word.isWord("STOREDIST") { return argument(at: place + 1) }
            }
            return keyOrEmpty
        }
    }

    /// The first key; empty when there is none.
    fileprivate var keyOrEmpty: RawSpan {
        @_lifetime(copy self)
        get {
            let place = name.isText("XGROUP") ? 2 : 1
            return argumentCount > place ? argument(at: place) : payload.extracting(first: 0)
        }
    }
}
