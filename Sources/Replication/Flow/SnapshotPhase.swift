import Dragonfly
import Redis
import Wire

/// Writes the snapshot's values, whole or in pieces, and keeps the state that only a full sync needs.
///
/// It is made for a full sync and dropped once the flow reaches the stable stream. Lives on its flow's queue.
final class SnapshotPhase {
    /// Protects keys that the target already has; `nil` without a conflict policy.
    let conflicts: ConflictStage?
    /// Whether the snapshot is decoded: FULLSYNC_END was reached.
    private(set) var isComplete = false

    private let stages: FlowStages
    // Objects that each value needs, kept here to avoid the indirection through `stages`.
    private let builder: BatchBuilder
    private let reports: EncoderReports
    private let ownership: OwnershipStage
    private let reconcile: ReconcileStage
    private let memberTTLs: MemberTTLStage?
    private let isOverwriting: Bool
    private let flow: FlowID
    private let context: FlowContext
    private let profile: TargetProfile
    private let reserved: ReservedKeys
    /// The writers of values that arrive in pieces.
    private var writers: [ChunkStreamID: ValueWriter] = [:]
    private var uncertainMoves = UncertainMoves()
    private var scratch = ByteBuffer()

    /// - Throws: `SystemError` if there is no room for what must be remembered.
    init(_ stages: FlowStages, start: FlowStart, context: FlowContext, profile: TargetProfile) throws {
        self.stages = stages
        builder = stages.builder
        reports = stages.reports
        ownership = stages.ownership
        reconcile = stages.reconcile
        memberTTLs = stages.memberTTLs
        isOverwriting = stages.builder.isOverwriting
        flow = stages.reports.flow
        self.context = context
        self.profile = profile
        let reserved = stages.reservedNames.names
        self.reserved = reserved
        let (builder, reports) = (stages.builder, stages.reports)
        conflicts = try start.conflictFolder.map {
            try ConflictStage(directory: $0, builder, reports, reserved: reserved)
        }
        stages.ownership.beginSnapshot { [unowned self] entry in
            writeString(entry.head, key: entry.key.span.bytes, value: entry.value.span.bytes)
        }
    }

    private var batch: CommandBatch { builder.batch }

    // MARK: Whole values

    func string(_ head: EntryHead, key: RawSpan, value: RawSpan) {
        if ownership.admit(head, key: key, value: value) == .pass { writeString(head, key: key, value: value) }
    }

    private func writeString(_ head: EntryHead, key: RawSpan, value: RawSpan) {
        guard admit(head, key: key) else { return }
        let batch = batch
        if head.expiryMilliseconds == nil, isOverwriting {
            batch.appendString(key, value)
            batch.noteUnordered()
        } else {
            let expiry = targetDeadline(head, key: key)
            batch.append("SET") {
                $0.append(key)
                $0.append(value)
                if let expiry {
                    $0.append("PXAT")
                    $0.append(expiry)
                }
                if !isOverwriting { $0.append("NX") }
            }
            if isOverwriting {
                batch.noteUnordered()
            } else {
                batch.noteGuarded(key: printableKey(key), database: head.database)
            }
        }
        batch.progress.keys += 1
    }

    func value(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        ownership.learn(fromOwnKey: key)
        if profile.canRestore(head.type) {
            guard admit(head, key: key) else { return }
            restore(head, key: key, body: body)
            reportGroups(head, key: key, body: body)
            batch.progress.keys += 1
            return
        }
        begin(head, key: key, stream: 0)
        guard let writer = writers.removeValue(forKey: 0) else { return }
        guard writer.write(body, into: batch) else {
            return reports.fail(.undecodable, "the value of \(writer.keyDescription) is malformed")
        }
        ended(writer)
    }

    /// Reports a stream with groups if the source does not journal reads of groups.
    private func reportGroups(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        guard stages.rewrite.source.has(.readsGroupsWithoutRecord), streamHasGroups(head.type, body: body) else {
            return
        }
        reports.report(.consumerGroupReads, subject: head.type.name, key: key, database: head.database)
    }

    private func restore(_ head: EntryHead, key: RawSpan, body: RawSpan) {
        do throws(WireError) {
            try ValueValidation.check(head.type, body: body, scratch: &scratch)
        } catch {
            return reports.fail(.undecodable, "the value of \(printableKey(key)) is malformed: \(error)")
        }
        let expiry = targetDeadline(head, key: key)
        let guardedIn = isOverwriting ? nil : head.database
        guard head.type == .stream3, !profile.understandsStream3 else {
            batch.appendRestore(
                key: key, type: head.type, body: body, expiryMilliseconds: expiry, guardedIn: guardedIn)
            if isOverwriting { batch.noteUnordered() }
            return
        }
        var downgraded = ByteBuffer(capacity: body.byteCount)
        do throws(WireError) {
            try downgraded.append(streamWithoutActiveTimes: body)
        } catch {
            return reports.fail(.undecodable, "the stream \(printableKey(key)) is malformed: \(error)")
        }
        batch.appendRestore(
            key: key, type: .stream2, body: downgraded.bytes, expiryMilliseconds: expiry, guardedIn: guardedIn)
        if isOverwriting { batch.noteUnordered() }
    }

    // MARK: Values in pieces

    func begin(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {
        guard admit(head, key: key) else { return }
        if let unsupported = profile.unsupported(head.type) {
            reports.report(unsupported, subject: head.type.name, key: key, database: head.database)
            if reports.halt == nil { builder.removeReplaced(key) }
            return
        }
        let guardKey = isOverwriting ? nil : partialKey(of: key, stream)
        if head.type.hasElementExpiries {
            memberTTLs?.note(key, database: head.database)
            stages.fieldDoubts?.note(key, database: head.database)
        }
        let position = stages.position
        writers[stream] = ValueWriter(
            head: head, key: key, profile: profile,
            now: memberTTLs == nil ? position.arrival : position.window.earliest, guardKey: guardKey,
            elementExpiry: memberTTLs?.expiry, deadlines: stages.expiryGuard)
    }

    /// The key under which a value is built before it is renamed to `key`; in a cluster a key in the same slot.
    private func partialKey(of key: RawSpan, _ stream: ChunkStreamID) -> [UInt8] {
        let name = "df2redis:partial:\(context.task):\(flow):\(stream)"
        return context.cluster == nil ? name.bytes : SlotTag.key(name, in: KeySlot(of: key))
    }

    func append(_ event: borrowing ValueEvent, stream: ChunkStreamID) {
        guard let writer = writers[stream] else { return }
        if !batch.isInCommand, !builder.select(writer.head.database) { return }
        switch event {
        case .elementBegan(let count):
            guard let excess = context.targetLimits.limits.excess(ofArgument: count, all: count) else { break }
            writers[stream] = nil
            return leaveOut(writer, excess)
        default: break
        }
        let isEnded = writer.write(event, into: batch)
        if let failure = writer.failure {
            return reports.fail(.undecodable, "the value of \(writer.keyDescription) is malformed: \(failure)")
        }
        guard isEnded else { return }
        writers[stream] = nil
        ended(writer)
    }

    /// Leaves out a value if the target does not take one of its elements. Nothing of the value is written, and no older
    /// value stays unless a conflict policy protects it.
    private func leaveOut(_ writer: ValueWriter, _ excess: TargetLimits.Excess) {
        let label = CommandLabel(
            name: writer.head.type.name, key: writer.keyDescription, database: writer.head.database)
        let classifier = ReplyClassifier(context, reports, memberTTLs)
        if let stop = classifier.overLimit(label, .excess(excess), leaving: isOverwriting ? .removed : .unchanged) {
            return reports.fail(stop)
        }
        writer.removeWritten(from: batch)
    }

    private func ended(_ writer: ValueWriter) {
        batch.progress.keys += 1
        let (key, database, name) = (writer.keyDescription, writer.head.database, writer.key)
        if writer.groupCount > 0, stages.rewrite.source.has(.readsGroupsWithoutRecord) {
            reports.report(
                .consumerGroupReads, subject: writer.head.type.name, key: name.span.bytes, database: database)
        }
        if writer.lostPendingEntries > 0 {
            reports.report(.pendingEntries, subject: "stream", key: name.span.bytes, database: database)
        }
        if writer.lostMemberExpiries > 0 {
            let kind: Unsupported = writer.head.type == .setWithExpiry ? .memberExpiry : .fieldExpiry
            reports.report(kind, subject: writer.head.type.name, printableKey: key, database: database)
        }
    }

    /// Keys of df2redis' own under which values were being built, with their databases.
    var partialKeys: [(database: UInt32, key: [UInt8])] {
        writers.values.compactMap { writer in writer.partialKey.map { (writer.head.database, $0) } }
    }

    // MARK: Before a value

    /// Selects the key's database and decides whether the value is written. Values of reserved names or left-out databases,
    /// and values that have expired, are not.
    private func admit(_ head: EntryHead, key: RawSpan) -> Bool {
        let database = head.database
        if reserved.contains(key) {
            reports.report(.reservedKey, subject: head.type.name, key: key, database: database)
            return false
        }
        guard builder.select(database) else {
            reports.reportLeftOut(database, subject: head.type.name, key: key, database: database)
            return false
        }
        if !uncertainMoves.isEmpty { undoMove(to: database, key: key) }
        conflicts?.markSynced(key, database: database)
        reconcile.markSynced(key, database: database)
        if isOverwriting { memberTTLs?.replace(key, database: database) }
        guard let expiry = head.expiryMilliseconds, stages.rewrite.hadPassed(expiry) else { return true }
        reports.countExpired()
        if isOverwriting {
            batch.append("UNLINK", key)
            batch.noteUnordered()
        }
        return false
    }

    private func targetDeadline(_ head: EntryHead, key: RawSpan) -> Int64? {
        guard let time = head.expiryMilliseconds else { return nil }
        return stages.expiryGuard?.deadline(time, key: key, database: head.database) ?? time
    }

    // MARK: Records within the snapshot

    /// Notes a record that has been written: a MOVE in the snapshot is uncertain.
    func wrote(_ command: borrowing JournalCommand, at place: RecordPlace) {
        guard !isComplete, let destination = command.moveDestination else { return }
        let key = command.argument(at: 1)
        reports.report(.moveInSnapshot, subject: "MOVE", key: key, database: place.database)
        // The target's value in the destination database may be wrong as well.
        reports.refresh(key, database: destination)
        uncertainMoves.note(key, from: place.database, to: destination)
    }

    /// Moves a key back if a MOVE in the snapshot moved it to the place of this value. The value is older than any MOVE to
    /// its place, so the source moved nothing: the place was taken.
    private func undoMove(to database: UInt32, key: RawSpan) {
        guard let origin = uncertainMoves.take(key, in: database) else { return }
        if let memberTTLs, memberTTLs.mayHave(key, database: database) {
            return memberTTLs.move(key, from: database, to: "\(origin)".bytes.span.bytes)
        }
        batch.append("MOVE", key, Int64(origin))
    }

    // MARK: The end

    /// Reports that all values have arrived.
    func complete() {
        ownership.endSnapshot()
        stages.rewrite.completeSnapshot()
        isComplete = true
        uncertainMoves = UncertainMoves()
    }
}
