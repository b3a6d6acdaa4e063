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
        case failure(ReplicationError)
    }

    /// A batch of so many bytes is sent; also the size at which decoding waits for the batch before.
    static let batchBytes = 256 << 10

    let flow: FlowID
    private(set) var batch: CommandBatch
    private(set) var halt: Halt?
    private(set) var isStable: Bool
    private(set) var hasCompletedSnapshot: Bool
    /// The LSN of the next record; 0 until the flow has told it.
    private(set) var nextLSN: UInt64
    private(set) var masterVersion: String?
    /// Unix time in milliseconds at which what is being decoded arrived.
    var arrivedAt: Int64 = 0

    private let context: FlowContext
    private let profile: TargetProfile
    private let rewriter: JournalRewriter
    private var selectedDatabase: UInt32?
    private var writers: [ChunkStreamID: ValueWriter] = [:]
    private(set) var expiredKeys = 0
    private(set) var conflictingKeys = 0

    /// - Parameter nextLSN: where a continued flow begins; `nil` for a full sync.
    init(flow: FlowID, context: FlowContext, profile: TargetProfile, nextLSN: LSN?) {
        self.flow = flow
        self.context = context
        self.profile = profile
        rewriter = JournalRewriter(profile: profile)
        self.nextLSN = nextLSN?.value ?? 0
        isStable = nextLSN != nil
        hasCompletedSnapshot = nextLSN != nil
        batch = CommandBatch()
        batch.reportsConflicts = context.policy.onConflict != .overwrite && !isStable
    }

    var isPaused: Bool { halt != nil || batch.bytes.count >= Self.batchBytes }

    /// Hands over the batch and begins the next one, which selects its database anew: a batch may be sent on a new
    /// connection.
    func takeBatch() -> CommandBatch {
        defer {
            batch = CommandBatch()
            batch.reportsConflicts = context.policy.onConflict != .overwrite && !isStable
            selectedDatabase = nil
        }
        return batch
    }

    /// Ends the batch's commands in database 0, where the checkpoint stands.
    func prepareForCheckpoint() { select(0) }

    /// The global command has been applied to the target.
    func resumeAfterGlobal() {
        halt = nil
        countRecord()
    }

    func fail(_ code: ReplicationError.Code, _ message: String) {
        if case .failure = halt { return }
        halt = .failure(ReplicationError(code, flow: flow, message))
    }

    /// - Returns: `false` when the target has no such database.
    @discardableResult
    private func select(_ database: UInt32) -> Bool {
        guard database != selectedDatabase else { return true }
        guard database < context.targetDatabases else { return false }
        batch.command(2)
        batch.bytes.appendBulk("SELECT")
        batch.bytes.appendBulk(decimal: Int64(database))
        selectedDatabase = database
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
        batch.bytes.appendBulk("SET")
        batch.bytes.appendBulk(key)
        batch.bytes.appendBulk(value)
        if let expiry = head.expiryMilliseconds {
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

    private func restore(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        let replacing = context.policy.onConflict == .overwrite
        guard head.type == .stream3, !profile.understandsStream3 else {
            return batch.appendRestore(
                key: key, type: head.type, body: body, expiryMilliseconds: head.expiryMilliseconds, replacing: replacing
            )
        }
        var downgraded = ByteBuffer(capacity: body.byteCount)
        do throws(WireError) {
            try downgraded.append(streamWithoutActiveTimes: body)
        } catch {
            return fail(.undecodable, "the stream \(printableKey(key)) is malformed: \(error)")
        }
        batch.appendRestore(
            key: key, type: .stream2, body: downgraded.bytes, expiryMilliseconds: head.expiryMilliseconds,
            replacing: replacing)
    }

    func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {
        guard admit(head, key: key) else { return }
        if let unsupported = profile.unsupported(head.type) {
            return report(unsupported, subject: head.type.name, key: key, database: head.database)
        }
        let guardKey =
            context.policy.onConflict == .overwrite
            ? nil : Array("df2redis:partial:\(context.task):\(flow):\(stream)".utf8)
        writers[stream] = ValueWriter(head: head, key: key, profile: profile, now: arrivedAt, guardKey: guardKey)
    }

    func value(_ event: borrowing ValueEvent, stream: ChunkStreamID) {
        guard let writer = writers[stream] else { return }
        if !batch.isInCommand, !select(writer.head.database) { return }
        guard writer.take(event, into: batch) else { return }
        writers[stream] = nil
        ended(writer)
    }

    private func ended(_ writer: ValueWriter) {
        batch.progress.keys += 1
        if writer.lostMemberExpiries > 0 {
            let kind: Unsupported = writer.head.type == .setWithExpiry ? .memberExpiry : .fieldExpiry
            report(
                kind, subject: writer.head.type.name, printableKey: writer.keyDescription,
                database: writer.head.database)
        }
    }

    /// Selects the key's database and sorts out what has expired.
    private func admit(_ head: EntryHead, key: RawSpan) -> Bool {
        guard select(head.database) else {
            report(.database, subject: head.type.name, key: key, database: head.database)
            return false
        }
        guard let expiry = head.expiryMilliseconds, expiry <= arrivedAt else { return true }
        expiredKeys += 1
        if context.policy.onConflict == .overwrite {
            batch.command(2)
            batch.bytes.appendBulk("UNLINK")
            batch.bytes.appendBulk(key)
        }
        return false
    }

    func snapshotCompleted() { hasCompletedSnapshot = true }

    func journalOffset(_ lsn: UInt64) { nextLSN = lsn }

    func stableStreamBegan() {
        isStable = true
        context.progress(flow).decoded(next: nextLSN)
    }

    // MARK: Journal

    func command(_ command: borrowing JournalCommand, database: UInt32, inSnapshot: Bool) {
        guard select(database) else {
            report(.database, subject: text(command.name), key: command.keyOrEmpty, database: database)
            if !inSnapshot { countRecord() }
            return
        }
        let outcome = rewriter.rewrite(command, database: database, now: arrivedAt, into: batch)
        switch outcome {
        case .written, .nothing: break
        case .global(let global):
            halt = inSnapshot ? .restart(global) : .global(global, transactionID: command.transactionID)
            return
        case .writtenDiverging(let divergence), .skippedDiverging(let divergence):
            context.incidents.record(
                .init(
                    severity: .diverging, kind: divergence.rawValue, flow: flow, database: database,
                    key: printableKey(command.keyOrEmpty), reason: divergence.reason, subject: text(command.name)))
        case .writtenWithout(let unsupported), .unsupported(let unsupported):
            report(unsupported, subject: text(command.name), key: command.keyOrEmpty, database: database)
        }
        if !inSnapshot { countRecord() }
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

    private func text(_ name: RawSpan) -> String {
        name.withUnsafeBytes { String(decoding: $0.prefix(64), as: UTF8.self) }
    }

    // MARK: Policy

    private func report(_ unsupported: Unsupported, subject: String, key: RawSpan, database: UInt32) {
        report(unsupported, subject: subject, printableKey: printableKey(key), database: database)
    }

    private func report(_ unsupported: Unsupported, subject: String, printableKey key: String, database: UInt32) {
        // Search indexes are no data, and a rate limiter's state is of no use elsewhere: told, never a reason to stop.
        let stops = context.policy.onUnsupported == .stop && unsupported != .searchIndex && unsupported != .throttle
        if stops {
            fail(
                .policy,
                "\(subject) \(key) in database \(database): \(unsupported.reason) (policy.onUnsupported: stop; skip goes on)"
            )
        }
        context.incidents.record(
            .init(
                severity: .missing, kind: unsupported.rawValue, flow: flow, database: database, key: key,
                reason: unsupported.reason, subject: subject))
    }

    func countConflict() { conflictingKeys += 1 }
}

extension RawSpan {
    fileprivate func isText(_ text: StaticString) -> Bool { byteCount == text.utf8CodeUnitCount && startsWith(text) }
}

extension JournalCommand {
    /// The first argument behind the name; empty when there is none.
    fileprivate var keyOrEmpty: RawSpan {
        @_lifetime(copy self)
        get { argumentCount > 1 ? argument(at: 1) : payload.extracting(first: 0) }
    }
}
