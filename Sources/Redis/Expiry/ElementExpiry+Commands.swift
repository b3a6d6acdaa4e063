package import Wire

/// Rewrites commands about elements as scripts. Each script first ends the TTLs that had ended at the source before the
/// command ran.
///
/// The window may leave open whether an element had ended, or the target may have ended it by itself too early. In these
/// cases an empty reply reports the doubt, and the key is read at the source. Until then the element stays, without a TTL.
extension ElementExpiry {
    private static let maxSeconds: Int64 = 1 << 32

    private func seconds(_ text: RawSpan, from least: Int64) -> Int64? {
        parseInteger(text).flatMap { $0 >= least && $0 < Self.maxSeconds ? $0 : nil }
    }

    /// The functions of the scripts. If an element's TTL ends by ARGV[1], the element had ended at the source; if the TTL
    /// ends after ARGV[2], it had not. ARGV[3] is 1 if the target keeps TTLs of the key's elements, too; `N` says the same.
    /// `score` returns the time at which an element's TTL ends.
    private static let lifetimes: StaticString = """
        local N,doubt=ARGV[3]=='1',false
        local function score(e)
        local s=redis.call('ZSCORE',S,e)
        if s or not N then return tonumber(s or nil) end
        local t=redis.call('HPEXPIRETIME',K,'FIELDS',1,e)
        if type(t)=='table' and t[1] and t[1]>0 then return t[1] end
        end
        local function has(e)
        return redis.call(T=='set' and 'SISMEMBER' or 'HEXISTS',K,e)==1
        end
        local function remove(e)
        redis.call(T=='set' and 'SREM' or 'HDEL',K,e) redis.call('ZREM',S,e)
        end
        local function restore(e,at)
        if N then redis.call('HPEXPIREAT',K,string.format('%.0f',math.floor(at)),'FIELDS',1,e) end
        end
        local function give(e,at) redis.call('ZADD',S,at,e) restore(e,tonumber(at)) end
        local function take(e)
        redis.call('ZREM',S,e)
        if N then redis.call('HPERSIST',K,'FIELDS',1,e) end
        end
        local function expire(e)
        local s=score(e)
        if not s then return end
        if s<=tonumber(ARGV[1]) then remove(e)
        elseif s<=tonumber(ARGV[2]) or s%1>0 or (N and not has(e)) then take(e) doubt=true end
        return s
        end

        """

    /// Appends a script about elements of `key`. `arguments` appends the arguments after the first three.
    ///
    /// - Parameters:
    ///   - type: Lua that sets `T` to the key's type.
    ///   - hasNative: whether the target may keep the TTLs, too.
    private func evaluate(
        _ type: StaticString, _ script: StaticString, key: RawSpan, hasNative: Bool, in window: ExecutionWindow,
        into batch: CommandBatch, _ arguments: (inout ArgumentList) -> Void
    ) {
        batch.reportsEmptyReplies = true
        batch.append("EVAL") {
            $0.append(Self.prologue, followedBy: type, Self.lifetimes, script)
            $0.append("3")
            $0.append(key)
            $0.append(shadow(of: key))
            $0.append(due(of: key))
            $0.append(window.earliest)
            $0.append(window.latest + Self.marginMilliseconds)
            $0.append((hasNative ? "1" : "0") as StaticString)
            arguments(&$0)
        }
    }

    private static let ofSet: StaticString = "local T='set'\n"
    private static let ofHash: StaticString = "local T='hash'\n"
    private static let ofEither: StaticString = "local T=redis.call('TYPE',K).ok\n"

    /// Removes elements whose TTLs have passed, before a command whose result depends on that.
    ///
    /// - Parameter isHash: whether the elements are fields; otherwise they are members.
    package func removeExpired(
        namedBy command: borrowing JournalCommand, from first: Int, to last: Int, isHash: Bool,
        in window: ExecutionWindow, into batch: CommandBatch
    ) {
        guard last >= first else { return }
        evaluate(
            isHash ? Self.ofHash : Self.ofSet,
            """
            for i=4,#ARGV do expire(ARGV[i]) end
            if doubt then return {} end
            """, key: command.argument(at: 1), hasNative: isHash && hasNativeFields, in: window, into: batch
        ) {
            $0.append(contentsOf: command, from: first, to: last)
        }
    }

    /// Writes `SADDEX key [KEEPTTL] seconds member...`. An existing member keeps its TTL with KEEPTTL, and gets the new TTL
    /// without it.
    ///
    /// - Parameter keepsPermanent: whether an existing member without a TTL stays without one.
    package func addMembers(
        _ command: borrowing JournalCommand, in window: ExecutionWindow, keepsPermanent: Bool, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount >= 4 else { return .unsupported(.unknownCommand) }
        let keeps = command.argument(at: 2).isWord("KEEPTTL")
        let first = keeps ? 4 : 3
        guard command.argumentCount > first, let seconds = seconds(command.argument(at: first - 1), from: 0) else {
            return .unsupported(.unknownCommand)
        }
        evaluate(
            Self.ofSet,
            """
            for i=6,#ARGV do
            local e=ARGV[i]
            if ARGV[5]=='1' then expire(e) end
            if redis.call('SADD',K,e)==1 or ARGV[5]=='2' or (ARGV[5]=='0' and score(e)) then give(e,ARGV[4]) end
            end
            due()
            if doubt then return {} end
            """, key: command.argument(at: 1), hasNative: false, in: window, into: batch
        ) {
            $0.append(ElementDeadline(inSeconds: seconds, from: window))
            $0.append((keeps ? "1" : keepsPermanent ? "0" : "2") as StaticString)
            $0.append(contentsOf: command, from: first)
        }
        return .written
    }

    /// Writes `FIELDEXPIRE key seconds element...` for a set or a hash.
    package func expireElements(
        _ command: borrowing JournalCommand, in window: ExecutionWindow, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount >= 4, let seconds = seconds(command.argument(at: 2), from: 0) else {
            return .unsupported(.unknownCommand)
        }
        evaluate(
            Self.ofEither,
            """
            if T=='none' then
            if redis.call('EXISTS',S)==1 then return {} end
            return
            end
            if T~='hash' and (T~='set' or ARGV[5]=='0') then return redis.error_reply('WRONGTYPE FIELDEXPIRE of a '..T) end
            N=N and T=='hash'
            for i=6,#ARGV do
            local e=ARGV[i]
            local s=expire(e)
            if has(e) then give(e,ARGV[4]) elseif s then doubt=true end
            end
            due()
            if doubt then return {} end
            """, key: command.argument(at: 1), hasNative: hasNativeFields, in: window, into: batch
        ) {
            $0.append(ElementDeadline(inSeconds: seconds, from: window))
            $0.append((keepsMembers ? "1" : "0") as StaticString)
            $0.append(contentsOf: command, from: 3)
        }
        return .written
    }

    /// Writes `HSETEX` in either form.
    package func setFields(
        _ command: borrowing JournalCommand, in window: ExecutionWindow, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard let fields = FieldExpiryCommand(command, now: window.latest) else { return .unsupported(.unknownCommand) }
        evaluate(
            Self.ofHash,
            """
            local at,mode,keep=ARGV[4],ARGV[5],ARGV[6]=='1'
            if mode~='ALL' or keep then for i=7,#ARGV,2 do expire(ARGV[i]) end end
            if mode=='FNX' or mode=='FXX' then for i=7,#ARGV,2 do
            if has(ARGV[i])==(mode=='FNX') then return doubt and {} end
            end end
            for i=7,#ARGV,2 do
            local f,set,s=ARGV[i],true,keep and score(ARGV[i])
            if mode=='NX' then set=redis.call('HSETNX',K,f,ARGV[i+1])==1 else redis.call('HSET',K,f,ARGV[i+1]) end
            if set then
            if s then restore(f,s) elseif at=='' then redis.call('ZREM',S,f) else give(f,at) end
            end
            end
            due()
            if doubt then return {} end
            """, key: command.argument(at: 1), hasNative: hasNativeFields, in: window, into: batch
        ) {
            if let deadline = fields.deadline(in: window) { $0.append(deadline) } else { $0.append("") }
            $0.append(fields.condition.scriptMode)
            $0.append((fields.keepsExpiry ? "1" : "0") as StaticString)
            $0.append(contentsOf: command, from: fields.first)
        }
        return .written
    }

    /// Writes `HGETEX`, a read that may give fields a TTL or remove it.
    package func expireReadFields(
        _ command: borrowing JournalCommand, in window: ExecutionWindow, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard let fields = FieldExpiryCommand(command, now: window.latest) else { return .unsupported(.unknownCommand) }
        guard fields.expiry != .unchanged else { return .nothing }
        guard let deadline = fields.deadline(in: window) else {
            persistFields(command, from: fields.first, in: window, into: batch)
            return .written
        }
        expireFields(
            command, from: fields.first, deadline: deadline,
            removes: fields.isDue || deadline.milliseconds <= window.earliest, in: window, into: batch)
        return .written
    }

    private func persistFields(
        _ command: borrowing JournalCommand, from first: Int, in window: ExecutionWindow, into batch: CommandBatch
    ) {
        evaluate(
            Self.ofHash,
            """
            for i=4,#ARGV do
            local s=expire(ARGV[i])
            if has(ARGV[i]) then take(ARGV[i]) elseif s then doubt=true end
            end
            due()
            if doubt then return {} end
            """, key: command.argument(at: 1), hasNative: hasNativeFields, in: window, into: batch
        ) {
            $0.append(contentsOf: command, from: first)
        }
    }

    /// Writes `HEXPIRE key seconds [NX|XX|GT|LT] FIELDS n field...`; 0 seconds removes the fields.
    package func expireFields(
        _ command: borrowing JournalCommand, in window: ExecutionWindow, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount >= 6, let seconds = seconds(command.argument(at: 2), from: 0) else {
            return .unsupported(.unknownCommand)
        }
        let isConditional = !command.argument(at: 3).isWord("FIELDS")
        let first = isConditional ? 6 : 5
        guard command.argumentCount > first else { return .unsupported(.unknownCommand) }
        expireFields(
            command, from: first, condition: isConditional ? 3 : nil,
            deadline: ElementDeadline(inSeconds: seconds, from: window), removes: seconds == 0, in: window, into: batch)
        return .written
    }

    /// Gives the fields from argument `first` on the deadline `deadline` if `condition` is met, the index of an argument of
    /// the command.
    private func expireFields(
        _ command: borrowing JournalCommand, from first: Int, condition: Int? = nil, deadline: ElementDeadline,
        removes: Bool, in window: ExecutionWindow, into batch: CommandBatch
    ) {
        evaluate(
            Self.ofHash,
            """
            local at,c,removes=tonumber(ARGV[4]),string.upper(ARGV[5]),ARGV[6]=='1'
            for i=7,#ARGV do
            local f=ARGV[i]
            if removes and c=='' then remove(f) else
            local s=expire(f)
            if not has(f) then doubt=doubt or s~=nil
            elseif c=='' or (c=='NX' and not s) or (c=='XX' and s) or (c=='GT' and s and at>s)
            or (c=='LT' and (not s or at<s)) then
            if removes then remove(f) else give(f,ARGV[4]) end
            end
            end
            end
            due()
            if doubt then return {} end
            """, key: command.argument(at: 1), hasNative: hasNativeFields, in: window, into: batch
        ) {
            $0.append(deadline)
            if let condition { $0.append(command.argument(at: condition)) } else { $0.append("") }
            $0.append((removes ? "1" : "0") as StaticString)
            $0.append(contentsOf: command, from: first)
        }
    }
}
