import Dragonfly
import Redis
import Wire

/// The snapshot: whole values, and values in pieces.
extension FlowEncoder {
    func auxiliaryField(name: RawSpan, value: RawSpan) {
        if name.startsWith("df-ver"), name.byteCount == 6 {
            let text = value.withUnsafeBytes { String(decoding: $0.prefix(64), as: UTF8.self) }
            masterVersion = text
            if let version = SourceVersion(text) { rewriter.source = SourceBehaviour(version: version) }
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
        if isJudged(head, key: key, value: value) { writeString(head, key: key, value: value) }
    }

    func writeString(_ head: EntryHead, key: RawSpan, value: RawSpan) {
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
        witness(key)
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
        guard rewriter.source.has(.readsGroupsWithoutRecord), streamHasGroups(head.type, body: body) else { return }
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
        let guardKey = context.policy.onConflict == .overwrite ? nil : partialKey(of: key, stream)
        if head.type.hasElementExpiries { book?.note(key, database: head.database) }
        writers[stream] = ValueWriter(
            head: head, key: key, profile: profile, now: book == nil ? arrivedAt : moment.earliest, guardKey: guardKey,
            elementExpiry: book?.expiry, deadlines: expiry)
    }

    /// Where a value is built that then gets the name `key`: in a cluster in the key's slot.
    private func partialKey(of key: RawSpan, _ stream: ChunkStreamID) -> [UInt8] {
        let name = "df2redis:partial:\(context.task):\(flow):\(stream)"
        return context.cluster == nil ? Array(name.utf8) : SlotTag.key(name, in: KeySlot(of: key))
    }

    func value(_ event: borrowing ValueEvent, stream: ChunkStreamID) {
        guard let writer = writers[stream] else { return }
        if !batch.isInCommand, !select(writer.head.database) { return }
        switch event {
        case .elementBegan(let count):
            guard let excess = context.targetLimits.limits.excess(ofArgument: count, all: count) else { break }
            writers[stream] = nil
            return leaveOut(writer, excess)
        default: break
        }
        let isEnded = writer.take(event, into: batch)
        if let failure = writer.failure {
            return fail(.undecodable, "the value of \(writer.keyDescription) is malformed: \(failure)")
        }
        guard isEnded else { return }
        writers[stream] = nil
        ended(writer)
    }

    /// The target does not take an element of the value: nothing of it is written, and nothing older stays.
    private func leaveOut(_ writer: ValueWriter, _ excess: TargetLimits.Excess) {
        let isReplacing = context.policy.onConflict == .overwrite
        let label = CommandBatch.Label(
            name: writer.head.type.name, key: writer.keyDescription, database: writer.head.database)
        let classifier = ReplyClassifier(context: context, encoder: self)
        if let stop = classifier.overLimit(label, .excess(excess), leaving: isReplacing ? .removed : .unchanged) {
            return fail(stop)
        }
        writer.removeWritten(from: batch)
    }

    private func ended(_ writer: ValueWriter) {
        batch.progress.keys += 1
        if writer.groupCount > 0, rewriter.source.has(.readsGroupsWithoutRecord) {
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
    func removeReplaced(_ key: RawSpan) {
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
            reportLeftOut(head.database, subject: head.type.name, key: key, database: head.database)
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
        guard let origin = uncertainMoves.take(key, in: database) else { return }
        if let book, book.mayHave(key, database: database) {
            return book.move(key, from: database, to: Array("\(origin)".utf8).span.bytes, into: batch)
        }
        batch.command(3)
        batch.bytes.appendBulk("MOVE")
        batch.bytes.appendBulk(key)
        batch.bytes.appendBulk(decimal: Int64(origin))
    }

    func snapshotCompleted() {
        judge()
        hasCompletedSnapshot = true
        uncertainMoves = UncertainMoves()
    }

    func journalOffset(_ lsn: UInt64) { nextLSN = lsn }

    func errorReply(_ text: RawSpan) {
        let line = text.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        fail(ReplicationError(SourceError.replyOnFlow(line), flow: flow))
    }

    func stableStreamBegan() {
        isStable = true
        batch.beginJournal()
        conflicts = nil
        context.progress(flow).decoded(next: nextLSN)
    }
}
