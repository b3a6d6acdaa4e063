import Wire

/// Rewrites commands about TTLs of fields and members for a target that alone keeps these TTLs. (`ElementExpiry` handles the
/// other case.) Relative seconds are made absolute with the time of arrival, and what the target cannot hold is left out.
struct ElementCommandRewriter {
    let profile: TargetProfile

    /// Writes `SADDEX key [KEEPTTL] seconds member...` without its TTL.
    func addMembersWithExpiry(_ command: borrowing JournalCommand, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 4 else { return .unsupported(.unknownCommand) }
        let skipped = command.argument(at: 2).isWord("KEEPTTL") ? 4 : 3
        guard command.argumentCount > skipped else { return .unsupported(.unknownCommand) }
        batch.append("SADD") {
            $0.append(command.argument(at: 1))
            $0.append(contentsOf: command, from: skipped)
        }
        return .writtenWithout(.memberExpiry)
    }

    /// Writes `FIELDEXPIRE key seconds field...` for a hash. If the key is a set, the target answers WRONGTYPE.
    func expireFields(_ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 4, let seconds = parseInteger(command.argument(at: 2)), seconds >= 0,
            seconds < 1 << 32
        else { return .unsupported(.unknownCommand) }
        guard profile.hasFieldExpiry else { return .unsupported(.fieldExpiry) }
        batch.append("HPEXPIREAT") {
            $0.append(command.argument(at: 1))
            $0.append(ExecutionWindow(earliest: now, latest: now).deadline(inSeconds: seconds))
            $0.append("FIELDS")
            $0.append(Int64(command.argumentCount - 3))
            $0.append(contentsOf: command, from: 3)
        }
        return .written
    }

    /// Writes `HSETEX` in either form. The target evaluates a condition itself, because it has the same value as the source.
    func setFieldsWithExpiry(
        _ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard let fields = FieldExpiryCommand(command, now: now) else { return .unsupported(.unknownCommand) }
        let key = command.argument(at: 1)
        if fields.condition == .always, !fields.keepsExpiry {
            batch.append("HSET") {
                $0.append(key)
                $0.append(contentsOf: command, from: fields.first)
            }
            guard case .at(let deadline) = fields.expiry else { return .written }
            guard profile.hasFieldExpiry else { return .writtenWithout(.fieldExpiry) }
            batch.append("HPEXPIREAT") {
                $0.append(key)
                $0.append(deadline)
                $0.append("FIELDS")
                $0.append(Int64(fields.count / 2))
                $0.append(contentsOf: command, from: fields.first, step: 2)
            }
            return .written
        }
        batch.append("EVAL") {
            $0.append(Self.setFields)
            $0.append("1")
            $0.append(key)
            $0.append(profile.hasFieldExpiry ? fields.expiry : .none)
            $0.append(fields.condition.scriptMode)
            $0.append((fields.keepsExpiry && profile.hasFieldExpiry ? "1" : "0") as StaticString)
            $0.append(contentsOf: command, from: fields.first)
        }
        return profile.hasFieldExpiry || fields.expiry == .none ? .written : .writtenWithout(.fieldExpiry)
    }

    /// Restores the TTLs of fields where necessary, because HSET removes the TTL of a field.
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

    /// Writes `HGETEX`, a read that may give fields a TTL or remove it.
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
            batch.append("HDEL") {
                $0.append(command.argument(at: 1))
                $0.append(contentsOf: command, from: fields.first)
            }
            return .written
        }
        batch.append(isPersisted ? "HPERSIST" : "HPEXPIREAT") {
            $0.append(command.argument(at: 1))
            if !isPersisted { $0.append(fields.expiry) }
            $0.append("FIELDS")
            $0.append(Int64(fields.count))
            $0.append(contentsOf: command, from: fields.first)
        }
        return .written
    }

    /// Writes `HEXPIRE key seconds [NX|XX|GT|LT] FIELDS n field...`; 0 seconds deletes the fields.
    func hashExpire(_ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch) -> RewriteOutcome {
        guard command.argumentCount >= 6, let seconds = parseInteger(command.argument(at: 2)), seconds >= 0,
            seconds < 1 << 32
        else { return .unsupported(.unknownCommand) }
        let key = command.argument(at: 1)
        let fieldsAt = command.argument(at: 3).isWord("FIELDS") ? 5 : 6
        guard command.argumentCount > fieldsAt else { return .unsupported(.unknownCommand) }
        guard profile.hasFieldExpiry else {
            guard seconds == 0 else { return .unsupported(.fieldExpiry) }
            batch.append("HDEL") {
                $0.append(key)
                $0.append(contentsOf: command, from: fieldsAt)
            }
            return .written
        }
        batch.append("HPEXPIREAT") {
            $0.append(key)
            $0.append(ExecutionWindow(earliest: now, latest: now).deadline(inSeconds: seconds))
            $0.append(contentsOf: command, from: 3)
        }
        return .written
    }
}
