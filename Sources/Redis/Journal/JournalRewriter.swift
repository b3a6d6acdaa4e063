package import Wire

/// Turns a record of a Dragonfly journal into commands of a Redis or Valkey. Source: Protocol 5.4-5.6.
package struct JournalRewriter {
    let profile: TargetProfile
    /// Which deadlines the target is given; `nil`: the source's.
    package var deadlines: (any TargetDeadlines)?
    /// Unix time in milliseconds at which the oldest of the records that count as having arrived now did arrive.
    package var oldestArrival: Int64?
    /// The database of the command being rewritten.
    private(set) var database: UInt32 = 0
    /// What the source does with what it journals.
    package var source: SourceBehaviour
    /// For values that come with TTLs of their elements.
    package var elementExpiry: ElementExpiry?
    let expiryMargin: Int64
    /// Keys of other shards of the source are in other flows.
    package var hasSeveralFlows = false
    /// The snapshot is not complete: a key that a command reads may not have come yet.
    package var isInSnapshot = false
    /// Commands whose keys are in several slots of the target are left out, because its user lacks a right that they need.
    package var leavesOutCrossing = false
    /// The last `DEL key`, if no `SADD` or `ZADD` has followed.
    private var deletion: (transactionID: UInt64, key: [UInt8])?

    package init(
        profile: TargetProfile, source: SourceBehaviour,
        expiryMargin: Int64 = JournalRewriter.expiryMarginMilliseconds
    ) {
        self.profile = profile
        self.expiryMargin = expiryMargin
        self.source = source
    }

    /// - Parameter now: Unix time in milliseconds at which the record arrived, by the source's clock.
    package mutating func rewrite(
        _ command: borrowing JournalCommand, database: UInt32, now: Int64, into batch: CommandBatch
    ) -> RewriteOutcome {
        self.database = database
        let name = command.name
        guard let rule = JournalRule.rule(for: name) else {
            return .unsupported(.unknownCommand)
        }
        if leavesOutCrossing, rule.keepsKeysTogether, command.crossesSlots { return .skippedDiverging(.crossSlot) }
        if !profile.hasScripts, let outcome = rewriteWithoutScripts(rule, command, now: now, into: batch) {
            return outcome
        }
        switch rule {
        case .verbatim: return copy(command, to: batch)
        case .setIfMissing: return setIfMissing(command, into: batch)
        case .delete: return delete(command, into: batch)
        case .add: return add(command, isScored: false, into: batch)
        case .addScored: return add(command, isScored: true, into: batch)
        case .set: return set(command, now: now, into: batch)
        case .setWithExpiry: return setWithExpiry(command, name, now: now, into: batch)
        case .expire: return expire(command, name, now: now, into: batch)
        case .expireAt: return expireAt(command, now: now, into: batch)
        case .move: return move(command, name, into: batch)
        case .placeInList:
            batch.append(command)
            return command.mayReorderList(source) ? .writtenDiverging(.listOrder) : .written
        case .removeByLex:
            guard let removal = LexRemoval(command) else { return .unsupported(.unknownCommand) }
            return removal.append(command, to: batch, profile: profile)
        case .prepend: return prepend(command, into: batch)
        case .bitField: return bitField(command, into: batch)
        case .rename: return rename(command, name, into: batch)
        case .restore: return restore(command, now: now, into: batch)
        case .setAddWithExpiry: return elements.addMembersWithExpiry(command, into: batch)
        case .fieldExpire: return elements.expireFields(command, now: now, into: batch)
        case .hashSetWithExpiry: return elements.setFieldsWithExpiry(command, now: now, into: batch)
        case .hashExpire: return elements.hashExpire(command, now: now, into: batch)
        case .hashGetWithExpiry: return elements.expireReadFields(command, now: now, into: batch)
        case .deleteIf: return deleteIf(command, into: batch)
        case .sort: return sort(command, into: batch)
        case .geoRadius: return geoRadius(command, name, into: batch)
        case .incrementFloat: return incrementFloat(command, into: batch)
        case .consumerGroup: return consumerGroup(command, into: batch)
        case .claim: return claim(command, into: batch)
        case .script: return script(command, into: batch)
        case .ignore: return .nothing
        case .flushAll: return .global(.flushAll)
        case .flushDatabase: return .global(.flushDatabase(database))
        case .dragonflyCluster: return cluster(command)
        case .json:
            guard profile.hasJSON else { return .unsupported(.json) }
            return json(command, to: batch)
        case .bloom: return .unsupported(.bloom)
        case .search: return .unsupported(.searchIndex)
        case .throttle: return .unsupported(.throttle)
        }
    }

    private func copy(_ command: borrowing JournalCommand, to batch: CommandBatch) -> RewriteOutcome {
        batch.append(command)
        return .written
    }

    private func json(_ command: borrowing JournalCommand, to batch: CommandBatch) -> RewriteOutcome {
        batch.append(command)
        command.forEachReplacedDocument { key in
            deadlines?.removed(key, database: database)
            batch.append("PERSIST", key)
        }
        if command.mayDifferInRedisJSON { return .writtenDiverging(.jsonModules) }
        if command.calculatesInJSON { batch.noteDoubt(ReplyDoubt(.jsonModules, command: command.nameText)) }
        return .written
    }

    // MARK: Strings and keys

    /// `SETNX`. In the journal it succeeded: what the target has there is not the source's.
    private func setIfMissing(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount == 3 else { return .unsupported(.unknownCommand) }
        deadlines?.removed(command.argument(at: 1), database: database)
        batch.appendString(command.argument(at: 1), command.argument(at: 2))
        return .written
    }

    private mutating func delete(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        noteDeletion(command)
        forgetDeadlines(of: command)
        return copy(command, to: batch)
    }

    /// `DELEX`.
    private func deleteIf(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        if command.argumentCount == 2 {
            forgetDeadlines(of: command)
            batch.append("UNLINK", command.argument(at: 1))
            return .written
        }
        guard let deletion = ConditionalDelete(command) else { return .unsupported(.unknownCommand) }
        deletion.append(command, to: batch)
        return .written
    }

    private func bitField(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        batch.append(command)
        return command.saturatesBelowZero ? .writtenDiverging(.saturatedBits) : .written
    }

    private func incrementFloat(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        guard let sum = FloatSum(command) else { return .unsupported(.unknownCommand) }
        sum.append(command, to: batch, profile: profile)
        return .written
    }

    // MARK: Sets and sorted sets

    private var elements: ElementCommandRewriter { ElementCommandRewriter(profile: profile) }

    /// `SADD` and `ZADD`, which may be what a S*STORE or Z*STORE has become in the journal.
    private mutating func add(
        _ command: borrowing JournalCommand, isScored: Bool, into batch: CommandBatch
    ) -> RewriteOutcome {
        if isScored, source.has(.ignoresComparisons), let add = ComparingAdd(command) {
            deletion = nil
            return add.append(command, to: batch, profile: profile)
        }
        batch.append(command)
        guard endsStore(command) else { return .written }
        if isScored, source.has(.storesRoundedScores) { return .writtenDiverging(.storedScores) }
        return source.has(.storesKeepTTL) ? .writtenDiverging(.storedExpiry) : .written
    }

    private mutating func noteDeletion(_ command: borrowing JournalCommand) {
        guard command.argumentCount == 2 else { return deletion = nil }
        deletion = (command.transactionID, Array(copying: command.argument(at: 1)))
    }

    /// SUNIONSTORE and its like arrive as DEL and SADD or ZADD of one transaction; MULTI, DEL, SADD, EXEC looks the same.
    ///
    /// Those of a script whose keys are in one shard have no transaction, like the commands of clients (Protocol 5.1): then only
    /// a score that may have been rounded shows it.
    private mutating func endsStore(_ command: borrowing JournalCommand) -> Bool {
        guard let deletion else { return false }
        self.deletion = nil
        guard command.transactionID == deletion.transactionID, command.argumentCount > 1,
            command.argument(at: 1).isEqual(to: deletion.key.span.bytes)
        else { return false }
        return command.transactionID != 0 || (command.name == "ZADD" && command.mayHaveRoundedScores)
    }

    // MARK: Streams

    /// `XGROUP` and `XACK`.
    private func consumerGroup(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        appendGroupCommand(command, to: batch)
        return source.has(.readsGroupsWithoutRecord) ? .writtenDiverging(.consumerGroupReads) : .written
    }

    /// `XCLAIM` and `XAUTOCLAIM`.
    private func claim(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        if command.argumentCount > 3 {
            // The source makes the consumer even when there is nothing to claim; a Redis before 7.2 does not.
            batch.append("XGROUP") {
                $0.append("CREATECONSUMER")
                $0.append(contentsOf: command, from: 1, to: 3)
            }
        }
        batch.append(command)
        if source.has(.readsGroupsWithoutRecord) { return .writtenDiverging(.consumerGroupReads) }
        let takesAny = command.argumentCount > 4 && parseInteger(command.argument(at: 4)) == 0
        return takesAny ? .written : .writtenDiverging(.claimIdleTimes)
    }

    /// Of the words after `XGROUP CREATE key group id` the source takes notice of MKSTREAM only.
    private func appendGroupCommand(_ command: borrowing JournalCommand, to batch: CommandBatch) {
        guard command.name == "XGROUP", command.argumentCount > 5, command.argument(at: 1).isWord("CREATE") else {
            return batch.append(command)
        }
        batch.append("XGROUP") {
            $0.append(contentsOf: command, from: 1, to: 4)
            var options = command.arguments
            for _ in 0..<5 { _ = options.next() }
            while let option = options.next() {
                if option.isWord("MKSTREAM") { return $0.append(option) }
            }
        }
    }

    // MARK: Commands that read what the target has

    private func prepend(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount == 3 else { return .unsupported(.unknownCommand) }
        batch.append("EVAL") {
            $0.append("return redis.call('SET',KEYS[1],ARGV[1]..(redis.call('GET',KEYS[1]) or ''),'KEEPTTL')")
            $0.append("1")
            $0.append(contentsOf: command, from: 1)
        }
        return .written
    }

    private func sort(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        guard let sort = SortCommand(command) else { return .skippedDiverging(.fragmentedSort) }
        guard sort.stores else { return command.transactionID == 0 ? .nothing : .skippedDiverging(.fragmentedSort) }
        // A cluster's node takes no GET at all.
        if profile.masterCount != nil, sort.readsByPattern || sort.hasGet { return .skippedDiverging(.sortByPattern) }
        let outcome = store(command, into: batch)
        guard outcome == .writtenDiverging(.storeInDoubt), sort.readsByPattern, hasSeveralFlows else { return outcome }
        return .writtenDiverging(.sortByPattern)
    }

    private func geoRadius(
        _ command: borrowing JournalCommand, _ name: CommandName, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount >= (name == "GEORADIUS" ? 6 : 5) else {
            return .skippedDiverging(.fragmentedGeoRadius)
        }
        // Without STORE it is a read, which the source journals like a write.
        guard command.storesResult else { return .nothing }
        let outcome = store(command, into: batch)
        guard outcome == .writtenDiverging(.storeInDoubt), source.has(.storesKeepTTL) else { return outcome }
        return .writtenDiverging(.storedExpiry)
    }

    /// What reads one key and stores another. Where the first is missing the source leaves the second as it is, and a Redis
    /// deletes it; and inside the snapshot the first may not have come yet. Of a fragment nothing may show that it is one, and
    /// releases differ in where they look for STORE and in what they count (Protocol 5.6 rows 6 to 8): what is stored is near
    /// to the source's, and never certain.
    private func store(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        if leavesOutCrossing, command.crossesSlots { return .skippedDiverging(.crossSlot) }
        let doubt = isInSnapshot ? Divergence.storeInSnapshot : .storeInDoubt
        guard profile.hasScripts else {
            if !isInSnapshot { batch.append(command) }
            return .writtenDiverging(doubt)
        }
        batch.append("EVAL") {
            $0.append(Self.storeIfThere)
            $0.append("1")
            $0.append(command.argument(at: 1))
            $0.append(contentsOf: command, from: 0)
        }
        return .writtenDiverging(doubt)
    }

    static let storeIfThere: StaticString = "if redis.call('EXISTS',KEYS[1])==1 then redis.call(unpack(ARGV)) end"

    // MARK: Commands about no key

    private func script(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 3, command.argument(at: 1).isWord("LOAD") else { return .nothing }
        return copy(command, to: batch)
    }

    private func cluster(_ command: borrowing JournalCommand) -> RewriteOutcome {
        guard command.argumentCount >= 4, command.argumentCount % 2 == 0, command.argument(at: 1).isWord("FLUSHSLOTS")
        else {
            return .unsupported(.unknownCommand)
        }
        var arguments = command.arguments
        for _ in 0..<2 { _ = arguments.next() }
        var ranges: [ClosedRange<UInt16>] = []
        while let first = arguments.next(), let last = arguments.next() {
            guard let first = parseInteger(first), let last = parseInteger(last), first >= 0, first <= last,
                last < 16384
            else {
                return .unsupported(.unknownCommand)
            }
            ranges.append(UInt16(first)...UInt16(last))
        }
        return .global(.flushSlots(ranges))
    }
}

extension JournalCommand {
    /// A SORT or GEORADIUS stores what it finds.
    package var storesResult: Bool {
        var arguments = arguments
        while let argument = arguments.next() {
            if argument.isWord("STORE") || argument.isWord("STOREDIST") { return true }
        }
        return false
    }
}
