import Wire

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [STICK] [IDLETIME n] [FREQ n]`: from RENAME over two shards, from COPY, or
/// from a client, whose TTL may be relative and whose payload may be anybody's.
extension JournalRewriter {
    /// What the source makes of any longer TTL: it journals the one that it was asked for (`RestoreArgs::UpdateExpiration`).
    private static let longestExpiryMilliseconds: Int64 = ((1 << 28) - 1) * 1000

    func restore(_ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 4, let ttl = parseInteger(command.argument(at: 2)), ttl >= 0 else {
            return .unsupported(.unknownCommand)
        }
        var isAbsolute = false
        var options = command.arguments
        for _ in 0..<4 { _ = options.next() }
        while let option = options.next() { if option.isWord("ABSTTL") { isAbsolute = true } }
        let timeLeft = min(isAbsolute ? ttl - now : ttl, Self.longestExpiryMilliseconds)
        var expiry: Int64? = ttl == 0 ? nil : now + timeLeft
        // A deadline that has passed by now had not when the source wrote it, and may be put off further on; a target
        // that is given a past one removes the key.
        let key = command.argument(at: 1)
        guard let payload = DumpPayload(command.argument(at: 3)) else { return .unsupported(.payload) }
        guard let type = RDBType(rawValue: payload.typeCode) else {
            // A type of a newer Redis: the target reads its own.
            guard payload.rdbVersion <= profile.rdbVersion else { return .unsupported(.payload) }
            expiry = expiry.map { targetDeadline($0, key: key) }
            batch.append("RESTORE") {
                $0.append(key)
                $0.append(expiry ?? 0)
                $0.append(command.argument(at: 3))
                $0.append("ABSTTL")
                $0.append("REPLACE")
            }
            return .written
        }
        let outcome = append(
            type, key: key, body: payload.body,
            head: EntryHead(database: database, expiryMilliseconds: expiry, type: type),
            now: now,
            into: batch)
        guard outcome == .written, source.has(.readsGroupsWithoutRecord), streamHasGroups(type, body: payload.body)
        else { return outcome }
        return .writtenDiverging(.consumerGroupReads)
    }

    /// A whole value, in whatever way the target takes it.
    private func append(
        _ type: RDBType, key: RawSpan, body: RawSpan, head: EntryHead, now: Int64, into batch: CommandBatch
    ) -> RewriteOutcome {
        // A value written in pieces asks for its deadline at its end.
        let expiry = profile.canRestore(type) ? head.expiryMilliseconds.map { targetDeadline($0, key: key) } : nil
        if type == .stream3, !profile.understandsStream3 {
            var older = ByteBuffer(capacity: body.byteCount)
            guard (try? older.append(streamWithoutActiveTimes: body)) != nil else { return .unsupported(.payload) }
            batch.appendRestore(
                key: key, type: .stream2, body: older.bytes, expiryMilliseconds: expiry)
            return .written
        }
        if profile.canRestore(type) {
            batch.appendRestore(
                key: key, type: type, body: body, expiryMilliseconds: expiry)
            return .written
        }
        if let unsupported = profile.unsupported(type) { return .unsupported(unsupported) }
        let writer = ValueWriter(
            head: head, key: key, profile: profile, now: now, elementExpiry: elementExpiry, deadlines: deadlines)
        guard writer.write(body, into: batch) else { return .unsupported(.payload) }
        guard writer.lostMemberExpiries > 0 else { return .written }
        return .writtenWithout(type == .setWithExpiry ? .memberExpiry : .fieldExpiry)
    }
}
