import Wire

/// Commands that give a key a deadline, take one along, or end one: the target's is `TargetDeadlines`' to say.
extension JournalRewriter {
    /// Of an older source, a PEXPIREAT that lies before now plus this margin is what a plain GETEX left in the journal
    /// (Protocol 5.6 row 1): the key lives on at the master, and a real expiry is followed by a DEL. So much for
    /// clocks that nobody has compared.
    package static let expiryMarginMilliseconds: Int64 = 2_000
    /// A time further in the past may be either: a plain GETEX of a while ago that arrives late, or a GETEX with a
    /// deadline in the past, which deletes the key.
    private static let expiryDoubtMilliseconds: Int64 = 60_000
    /// No clock of a master is before September 2001.
    private static let oldestClock: Int64 = 1_000_000_000_000

    func forgetDeadlines(of command: borrowing JournalCommand) {
        guard let deadlines else { return }
        var arguments = command.arguments
        _ = arguments.next()
        while let key = arguments.next() { deadlines.removed(key, database: database) }
    }

    /// Whether a snapshot's value with this deadline had expired when it was sent.
    package func hadPassed(_ deadline: Int64, now: Int64) -> Bool {
        deadline <= min(now, oldestArrival ?? now) - expiryMargin
    }

    func targetDeadline(_ deadline: Int64, key: RawSpan) -> Int64 {
        deadlines.deadline(deadline, key, database)
    }

    /// `SET key value [options]`: STICK and `_MCFLAGS n` are Dragonfly's own. PFMERGE arrives as one too, and the source keeps
    /// the TTL of its destination without a record of it.
    func set(_ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        if command.argumentCount == 3 {
            batch.appendString(command.argument(at: 1), command.argument(at: 2))
            // With the guard off nobody knows of deadlines.
            let mayKeepOne =
                command.setsHyperLogLog
                && deadlines?.mayExpire(command.argument(at: 1), database: database) ?? true
            return mayKeepOne ? .writtenDiverging(.storedExpiry) : .written
        }
        var expiry: Int64?
        var options = command.arguments
        for _ in 0..<3 { _ = options.next() }
        while let option = options.next() {
            if option.isWord("_MCFLAGS") { _ = options.next() }
            if let form = DeadlineForm(option: option) {
                guard let text = options.next(), let value = parseInteger(text),
                    let time = form.deadline(value, now: now)
                else { return .unsupported(.unknownCommand) }
                expiry = time
            }
        }
        batch.append("SET") {
            $0.append(contentsOf: command, from: 1, to: 2)
            var arguments = command.arguments
            for _ in 0..<3 { _ = arguments.next() }
            while let option = arguments.next() {
                if option.isWord("STICK") { continue }
                if option.isWord("_MCFLAGS") || DeadlineForm(option: option) != nil {
                    _ = arguments.next()
                    continue
                }
                $0.append(option)
            }
            if let expiry {
                $0.append("PXAT")
                $0.append(targetDeadline(expiry, key: command.argument(at: 1)))
            }
        }
        return .written
    }

    /// `SETEX key seconds value`, `PSETEX key milliseconds value`.
    func setWithExpiry(
        _ command: borrowing JournalCommand, _ name: CommandName, now: Int64, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount == 4, let value = parseInteger(command.argument(at: 2)),
            let expiry = DeadlineForm(isSeconds: name == "SETEX", isRelative: true).deadline(value, now: now)
        else { return .unsupported(.unknownCommand) }
        batch.append("SET") {
            $0.append(command.argument(at: 1))
            $0.append(command.argument(at: 3))
            $0.append("PXAT")
            $0.append(targetDeadline(expiry, key: command.argument(at: 1)))
        }
        return .written
    }

    /// `EXPIRE`, `PEXPIRE` and `EXPIREAT`. The source journals none that its options made ineffective, and at the target
    /// these would compare with another deadline.
    func expire(
        _ command: borrowing JournalCommand, _ name: CommandName, now: Int64, into batch: CommandBatch
    ) -> RewriteOutcome {
        let form = DeadlineForm(isSeconds: name != "PEXPIRE", isRelative: name != "EXPIREAT")
        guard command.argumentCount >= 3, let value = parseInteger(command.argument(at: 2)),
            let time = form.deadline(value, now: now)
        else { return .unsupported(.unknownCommand) }
        return expire(command.argument(at: 1), at: time, now: now, into: batch)
    }

    /// `PEXPIREAT`.
    func expireAt(_ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 3, let time = parseInteger(command.argument(at: 2)) else {
            batch.append(command)
            return .written
        }
        return expire(command.argument(at: 1), at: time, now: now, into: batch)
    }

    func expire(_ key: RawSpan, at time: Int64, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        if time == 0 {
            // Memcache's `gat 0`: the master persists the key.
            batch.append("PERSIST", key)
            return .written
        }
        if time < Self.oldestClock {
            // GETEX with a deadline in the past: the master deletes the key, and no DEL follows.
            batch.append("UNLINK", key)
            return .written
        }
        if source.has(.plainGETEXLeavesPEXPIREAT) {
            if time < min(now, oldestArrival ?? now) - Self.expiryDoubtMilliseconds {
                return .skippedDiverging(.expiryInThePast)
            }
            if time <= now + expiryMargin { return .nothing }
        }
        batch.append("PEXPIREAT", key, targetDeadline(time, key: key))
        // (Within the snapshot the key may not have come yet.)
        if !isInSnapshot { batch.noteEffective() }
        return .written
    }

    /// `RENAME key to` and `RENAMENX key to`, which are in the journal only when they succeeded. Over two shards they
    /// arrive as DEL and RESTORE.
    ///
    /// Within a shard of an older source a key that is renamed over another one takes that one's TTL when both have one;
    /// a Redis keeps the TTL of what is renamed. Either deadline keeps the margin it has.
    func rename(
        _ command: borrowing JournalCommand, _ name: CommandName, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount == 3 else { return .unsupported(.unknownCommand) }
        let (key, destination) = (command.argument(at: 1), command.argument(at: 2))
        let takesTTL = name == "RENAME" && source.has(.renameKeepsDestinationTTL)
        batch.append("EVAL") {
            $0.append(takesTTL ? Self.renameTakingTTL : Self.rename)
            $0.append("2")
            $0.append(key)
            $0.append(destination)
        }
        batch.noteEffective()
        deadlines?.moved(key, database: database, to: destination, database: database, mayStay: false)
        return .written
    }

    static let rename: StaticString = """
        if redis.call('EXISTS',KEYS[1])==0 then return 0 end
        redis.call('RENAME',KEYS[1],KEYS[2])
        return 1
        """
    private static let renameTakingTTL: StaticString = """
        if redis.call('EXISTS',KEYS[1])==0 then return 0 end
        local at=redis.call('PEXPIRETIME',KEYS[2])
        redis.call('RENAME',KEYS[1],KEYS[2])
        if at>0 and redis.call('PEXPIRETIME',KEYS[2])>0 then redis.call('PEXPIREAT',KEYS[2],at) end
        return 1
        """

    /// `COPY key to`, `MOVE key database`: the target decides as the source did.
    func move(
        _ command: borrowing JournalCommand, _ name: CommandName, into batch: CommandBatch
    ) -> RewriteOutcome {
        batch.append(command)
        guard let deadlines, command.argumentCount >= 3 else { return .written }
        let (key, second) = (command.argument(at: 1), command.argument(at: 2))
        if name != "MOVE" {
            deadlines.moved(key, database: database, to: second, database: database, mayStay: true)
        } else if let other = parseInteger(second).flatMap({ UInt32(exactly: $0) }) {
            deadlines.moved(key, database: database, to: key, database: other, mayStay: true)
        }
        return .written
    }
}
