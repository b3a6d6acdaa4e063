import Wire

/// Dragonfly's own TTLs of fields and members: relative seconds, made absolute with the time of arrival.
extension JournalRewriter {
    /// `SADDEX key [KEEPTTL] seconds member...` without its TTL.
    func addMembersWithExpiry(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 4 else { return .unsupported(.unknownCommand) }
        let skipped = command.argument(at: 2).isWord("KEEPTTL") ? 4 : 3
        guard command.argumentCount > skipped else { return .unsupported(.unknownCommand) }
        batch.command(2 + command.argumentCount - skipped)
        batch.bytes.appendBulk("SADD")
        batch.bytes.appendBulk(command.argument(at: 1))
        var arguments = command.arguments
        for _ in 0..<skipped { _ = arguments.next() }
        while let member = arguments.next() { batch.bytes.appendBulk(member) }
        return .writtenWithout(.memberExpiry)
    }

    /// `FIELDEXPIRE key seconds field...`, on a hash; on a set the target answers WRONGTYPE.
    func expireFields(_ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 4, let seconds = parseInteger(command.argument(at: 2)), seconds >= 0,
            seconds < 1 << 32
        else { return .unsupported(.unknownCommand) }
        guard profile.hasFieldExpiry else { return .unsupported(.fieldExpiry) }
        var fields = command.arguments
        for _ in 0..<3 { _ = fields.next() }
        batch.command(5 + command.argumentCount - 3)
        batch.bytes.appendBulk("HPEXPIREAT")
        batch.bytes.appendBulk(command.argument(at: 1))
        batch.bytes.appendBulk(decimal: now + seconds * 1000)
        batch.bytes.appendBulk("FIELDS")
        batch.bytes.appendBulk(decimal: Int64(command.argumentCount - 3))
        while let field = fields.next() { batch.bytes.appendBulk(field) }
        return .written
    }

    /// `HSETEX`, in either form. A condition is the target's to decide: it has what the source had.
    func setFieldsWithExpiry(
        _ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard let fields = FieldExpiryCommand(command, now: now) else { return .unsupported(.unknownCommand) }
        let key = command.argument(at: 1)
        let last = command.argumentCount - 1
        if fields.condition == .always, !fields.keepsExpiry {
            batch.command(2 + fields.count)
            batch.bytes.appendBulk("HSET")
            batch.bytes.appendBulk(key)
            batch.append(command, from: fields.first, to: last)
            guard case .at(let deadline) = fields.expiry else { return .written }
            guard profile.hasFieldExpiry else { return .writtenWithout(.fieldExpiry) }
            batch.command(5 + fields.count / 2)
            batch.bytes.appendBulk("HPEXPIREAT")
            batch.bytes.appendBulk(key)
            batch.bytes.appendBulk(decimal: deadline)
            batch.bytes.appendBulk("FIELDS")
            batch.bytes.appendBulk(decimal: Int64(fields.count / 2))
            batch.append(command, from: fields.first, to: last, step: 2)
            return .written
        }
        batch.command(7 + fields.count)
        batch.bytes.appendBulk("EVAL")
        batch.bytes.appendBulk(Self.setFields)
        batch.bytes.appendBulk("1")
        batch.bytes.appendBulk(key)
        batch.append(profile.hasFieldExpiry ? fields.expiry : .none)
        batch.bytes.appendBulk(fields.condition.scriptMode)
        batch.bytes.appendBulk(fields.keepsExpiry && profile.hasFieldExpiry ? "1" : "0")
        batch.append(command, from: fields.first, to: last)
        return profile.hasFieldExpiry || fields.expiry == .none ? .written : .writtenWithout(.fieldExpiry)
    }

    /// HSET ends the TTL of a field.
    private static let setFields: StaticString = """
        local K,at,mode,keep=KEYS[1],ARGV[1],ARGV[2],ARGV[3]=='1'
        if mode=='FNX' or mode=='FXX' then for i=4,#ARGV,2 do
        if (redis.call('HEXISTS',K,ARGV[i])==1)==(mode=='FNX') then return end
        end end
        for i=4,#ARGV,2 do
        local f,t=ARGV[i],at
        if keep then
        local old=redis.call('HPEXPIRETIME',K,'FIELDS',1,f)
        if type(old)=='table' and old[1]>0 then t=string.format('%.0f',old[1]) end
        end
        local set=true
        if mode=='NX' then set=redis.call('HSETNX',K,f,ARGV[i+1])==1 else redis.call('HSET',K,f,ARGV[i+1]) end
        if set and t~='' then redis.call('HPEXPIREAT',K,t,'FIELDS',1,f) end
        end
        """

    /// `HGETEX`: a read that may give fields a TTL, or take it.
    func expireReadFields(
        _ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard let fields = FieldExpiryCommand(command, now: now) else { return .unsupported(.unknownCommand) }
        let isPersisted: Bool
        switch fields.expiry {
        case .unchanged: return .nothing
        case .none: isPersisted = true
        case .at: isPersisted = false
        }
        guard profile.hasFieldExpiry else {
            if isPersisted { return .nothing }
            guard fields.isDue else { return .unsupported(.fieldExpiry) }
            batch.command(2 + fields.count)
            batch.bytes.appendBulk("HDEL")
            batch.bytes.appendBulk(command.argument(at: 1))
            batch.append(command, from: fields.first, to: command.argumentCount - 1)
            return .written
        }
        batch.command((isPersisted ? 4 : 5) + fields.count)
        batch.bytes.appendBulk(isPersisted ? "HPERSIST" : "HPEXPIREAT")
        batch.bytes.appendBulk(command.argument(at: 1))
        if !isPersisted { batch.append(fields.expiry) }
        batch.bytes.appendBulk("FIELDS")
        batch.bytes.appendBulk(decimal: Int64(fields.count))
        batch.append(command, from: fields.first, to: command.argumentCount - 1)
        return .written
    }

    /// `HEXPIRE key seconds [NX|XX|GT|LT] FIELDS n field...`; 0 seconds deletes the fields.
    func hashExpire(_ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 6, let seconds = parseInteger(command.argument(at: 2)), seconds >= 0,
            seconds < 1 << 32
        else { return .unsupported(.unknownCommand) }
        let key = command.argument(at: 1)
        let fieldsAt = command.argument(at: 3).isWord("FIELDS") ? 5 : 6
        guard command.argumentCount > fieldsAt else { return .unsupported(.unknownCommand) }
        var arguments = command.arguments
        for _ in 0..<3 { _ = arguments.next() }
        guard profile.hasFieldExpiry else {
            guard seconds == 0 else { return .unsupported(.fieldExpiry) }
            for _ in 3..<fieldsAt { _ = arguments.next() }
            batch.command(2 + command.argumentCount - fieldsAt)
            batch.bytes.appendBulk("HDEL")
            batch.bytes.appendBulk(key)
            while let field = arguments.next() { batch.bytes.appendBulk(field) }
            return .written
        }
        batch.command(command.argumentCount)
        batch.bytes.appendBulk("HPEXPIREAT")
        batch.bytes.appendBulk(key)
        batch.bytes.appendBulk(decimal: now + seconds * 1000)
        while let argument = arguments.next() { batch.bytes.appendBulk(argument) }
        return .written
    }
}
