package import Wire

/// TTLs of set members, and of hash fields where the target has none, kept in the target itself beside the data.
///
/// ```
/// df2redis:ttl:<task>:<key>        zset  element -> deadline                        in the key's database: the key's shadow
/// df2redis:ttl-due:<task>:<flow>   zset  key -> its earliest deadline, or earlier   in each database
/// ```
/// In a cluster each begins with the tag of the key's slot, `{<tag>}df2redis:...`, and there is a due list in each slot.
///
/// Deadlines are Unix milliseconds. Both are written in the transaction of the data they speak of, so a crash leaves all of
/// it or nothing. A key with a shadow stands in its flow's due list; a shadow without its key is removed when it is due.
///
/// What arrives at one moment was written at the source a little, or after an interruption long, before: `Moment` tells
/// between which times.
package struct ElementExpiry: Sendable, Equatable {
    /// When something happened at the source, in Unix milliseconds: not before `earliest`, not after `latest`.
    package struct Moment: Sendable {
        package var earliest: Int64
        package var latest: Int64

        package init(earliest: Int64, latest: Int64) { (self.earliest, self.latest) = (earliest, latest) }

        /// The source counts in whole seconds.
        package func deadline(inSeconds seconds: Int64) -> Int64 { (latest / 1000 + seconds) * 1000 }
    }

    /// A deadline that is counted from when a command arrived may be so much later than the source's.
    package static let marginMilliseconds: Int64 = 1000
    /// What a command may take from its execution at the source to us.
    package static let transitMilliseconds: Int64 = 200
    /// Elements that one script removes at most.
    private static let sweepSize = 1000

    private let shadowPrefix: [UInt8]
    /// Without its slot's tag.
    package let dueKey: [UInt8]
    package let isInCluster: Bool
    /// The target expires hash fields itself.
    package let hasNativeFields: Bool

    package static func shadowPrefix(task: String) -> [UInt8] { Array("df2redis:ttl:\(task):".utf8) }
    package static func dueKey(task: String, flow: Int) -> [UInt8] { dueKeys(task: task) + Array("\(flow)".utf8) }
    /// What the due lists of all flows begin with.
    static func dueKeys(task: String) -> [UInt8] { Array("df2redis:ttl-due:\(task):".utf8) }

    package init(task: String, flow: Int, hasNativeFields: Bool, isInCluster: Bool = false) {
        self.isInCluster = isInCluster
        shadowPrefix = Self.shadowPrefix(task: task)
        dueKey = Self.dueKey(task: task, flow: flow)
        self.hasNativeFields = hasNativeFields
    }

    func shadow(of key: RawSpan) -> [UInt8] { shadow(of: key.withUnsafeBytes { Array($0) }) }

    func shadow(of key: [UInt8]) -> [UInt8] {
        (isInCluster ? SlotTag.key(shadowPrefix, in: KeySlot(of: key)) : shadowPrefix) + key
    }

    /// The due list that a key is in.
    func due(of key: RawSpan) -> [UInt8] { isInCluster ? SlotTag.key(dueKey, in: KeySlot(of: key)) : dueKey }

    func due(of key: [UInt8]) -> [UInt8] { due(of: key.span.bytes) }

    // MARK: Scripts

    private static let prologue: StaticString = """
        local K,S,D=KEYS[1],KEYS[2],KEYS[3]
        local function due()
        local n=redis.call('ZRANGE',S,0,0,'WITHSCORES')
        if n[2] then redis.call('ZADD',D,n[2],K) else redis.call('ZREM',D,K) end
        end
        local function expire(e,at,remove)
        local s=redis.call('ZSCORE',S,e)
        if s and tonumber(s)<=tonumber(at) then redis.call(remove,K,e) redis.call('ZREM',S,e) end
        end

        """

    /// Begins `EVAL script 3 key shadow due ...` with `count` arguments to follow.
    private func evaluate(_ script: StaticString, key: RawSpan, arguments count: Int, into batch: CommandBatch) {
        batch.command(6 + count)
        batch.bytes.appendBulk("EVAL")
        batch.bytes.appendBulkHead(Self.prologue.utf8CodeUnitCount + script.utf8CodeUnitCount)
        batch.bytes.append(Self.prologue)
        batch.bytes.append(script)
        batch.bytes.appendLineEnd()
        batch.bytes.appendBulk("3")
        batch.bytes.appendBulk(key)
        batch.bytes.appendBulk(shadow(of: key).span.bytes)
        batch.bytes.appendBulk(due(of: key))
    }

    /// Ahead of a command on `key` that finds another value where an element's TTL has passed. Where the moment leaves open
    /// whether it had, the element stays, without a TTL, and an empty reply tells of it.
    package func settle(
        _ command: borrowing JournalCommand, elementsFrom first: Int, to last: Int, removal: StaticString,
        at moment: Moment,
        into batch: CommandBatch
    ) {
        guard last >= first else { return }
        batch.reportsEmptyReplies = true
        evaluate(
            """
            local doubt
            for i=4,#ARGV do
            expire(ARGV[i],ARGV[1],ARGV[3])
            local s=redis.call('ZSCORE',S,ARGV[i])
            if s and tonumber(s)<=tonumber(ARGV[2]) then redis.call('ZREM',S,ARGV[i]) doubt=true end
            end
            if doubt then return {} end
            """, key: command.argument(at: 1), arguments: 3 + last - first + 1, into: batch)
        batch.bytes.appendBulk(decimal: moment.earliest)
        batch.bytes.appendBulk(decimal: moment.latest + Self.marginMilliseconds)
        batch.bytes.appendBulk(removal)
        batch.append(command, from: first, to: last)
    }

    /// Elements that a command has removed, or given a new value, have no TTL any more.
    package func forget(
        _ command: borrowing JournalCommand, elementsFrom first: Int, step: Int = 1, into batch: CommandBatch
    ) {
        let count = (command.argumentCount - first + step - 1) / step
        guard count > 0 else { return }
        batch.command(2 + count)
        batch.bytes.appendBulk("ZREM")
        batch.bytes.appendBulk(shadow(of: command.argument(at: 1)).span.bytes)
        var place = 0
        var arguments = command.arguments
        while let argument = arguments.next() {
            if place >= first, (place - first) % step == 0 { batch.bytes.appendBulk(argument) }
            place += 1
        }
    }

    /// The key is gone, or another one has taken its place.
    package func drop(_ key: RawSpan, into batch: CommandBatch) {
        batch.command(2)
        batch.bytes.appendBulk("UNLINK")
        batch.bytes.appendBulk(shadow(of: key).span.bytes)
        batch.command(3)
        batch.bytes.appendBulk("ZREM")
        batch.bytes.appendBulk(due(of: key))
        batch.bytes.appendBulk(key)
    }

    /// A command may have made something else of the key.
    package func check(_ key: RawSpan, into batch: CommandBatch) {
        evaluate(
            """
            local t=redis.call('TYPE',K).ok
            if t~='set' and t~='hash' then redis.call('UNLINK',S) redis.call('ZREM',D,K) end
            """, key: key, arguments: 0, into: batch)
    }

    /// Ahead of the RENAMENX that gives a value built under `partial` its name.
    func publish(_ partial: [UInt8], as key: [UInt8], into batch: CommandBatch) {
        evaluate(
            """
            redis.call('ZREM',D,ARGV[1])
            if redis.call('EXISTS',K)==0 then redis.call('RENAME',ARGV[2],S) due() else redis.call('UNLINK',ARGV[2]) end
            """, key: key.span.bytes, arguments: 2, into: batch)
        batch.bytes.appendBulk(partial)
        batch.bytes.appendBulk(shadow(of: partial))
    }

    /// Behind a RENAME.
    package func renamed(_ key: RawSpan, to newKey: RawSpan, into batch: CommandBatch) {
        if isInCluster, KeySlot(of: key) != KeySlot(of: newKey) {
            return moveShadow(of: key, to: newKey, into: batch)
        }
        evaluate(
            """
            local at=redis.call('EXISTS',S)==1 and redis.call('ZRANGE',S,0,0,'WITHSCORES')[2]
            redis.call('ZREM',D,K)
            if at then
            redis.call('RENAME',S,ARGV[2]) redis.call('ZADD',D,at,ARGV[1])
            else
            redis.call('UNLINK',ARGV[2]) redis.call('ZREM',D,ARGV[1])
            end
            """, key: key, arguments: 2, into: batch)
        batch.bytes.appendBulk(newKey)
        batch.bytes.appendBulk(shadow(of: newKey).span.bytes)
    }

    /// The same between two slots of a cluster, by commands that cross slots by themselves.
    private func moveShadow(of key: RawSpan, to newKey: RawSpan, into batch: CommandBatch) {
        let (old, new) = (shadow(of: key), shadow(of: newKey))
        batch.append([Array("UNLINK".utf8), new])
        batch.append(
            [Array("EVAL".utf8), Array("\(JournalRewriter.rename)".utf8), Array("2".utf8), old, new])
        batch.append([Array("ZREM".utf8), due(of: key), key.withUnsafeBytes { Array($0) }])
        evaluate("due()", key: newKey, arguments: 0, into: batch)
    }

    /// `MOVE key database`, with its shadow when it moves.
    package func move(_ key: RawSpan, from database: UInt32, to target: RawSpan, into batch: CommandBatch) {
        evaluate(
            """
            if redis.call('MOVE',K,ARGV[2])==0 then return end
            local at=redis.call('ZSCORE',D,K)
            redis.call('ZREM',D,K)
            redis.call('SELECT',ARGV[2]) redis.call('UNLINK',S) redis.call('ZREM',D,K)
            redis.call('SELECT',ARGV[1]) redis.call('MOVE',S,ARGV[2])
            redis.call('SELECT',ARGV[2])
            if at and redis.call('EXISTS',S)==1 then redis.call('ZADD',D,at,K) end
            redis.call('SELECT',ARGV[1])
            """, key: key, arguments: 2, into: batch)
        batch.bytes.appendBulk(decimal: Int64(database))
        batch.bytes.appendBulk(target)
    }

    /// Removes elements that are due by `time` in the selected database. An empty reply tells that there are more.
    ///
    /// - Parameter slot: of a cluster; `nil`: the target is none.
    package func sweep(until time: Int64, in slot: KeySlot? = nil, into batch: CommandBatch) {
        batch.reportsEmptyReplies = true
        batch.command(7)
        batch.bytes.appendBulk("EVAL")
        batch.bytes.appendBulk(
            """
            local left=tonumber(ARGV[3])
            for _,k in ipairs(redis.call('ZRANGEBYSCORE',KEYS[1],'-inf',ARGV[1],'LIMIT',0,left)) do
            local s=ARGV[2]..k
            local t=redis.call('TYPE',k).ok
            local remove=t=='set' and 'SREM' or t=='hash' and 'HDEL'
            if not remove then redis.call('UNLINK',s) end
            local es=redis.call('ZRANGEBYSCORE',s,'-inf',ARGV[1],'LIMIT',0,left)
            if #es>0 then redis.call(remove,k,unpack(es)) redis.call('ZREM',s,unpack(es)) end
            local n=redis.call('ZRANGE',s,0,0,'WITHSCORES')
            if n[2] then redis.call('ZADD',KEYS[1],n[2],k) else redis.call('ZREM',KEYS[1],k) end
            left=left-1-#es
            if left<=0 then return {} end
            end
            """)
        batch.bytes.appendBulk("1")
        batch.bytes.appendBulk(slot.map { SlotTag.key(dueKey, in: $0) } ?? dueKey)
        batch.bytes.appendBulk(decimal: time)
        batch.bytes.appendBulk(slot.map { SlotTag.key(shadowPrefix, in: $0) } ?? shadowPrefix)
        batch.bytes.appendBulk(decimal: Int64(Self.sweepSize))
    }
}

// MARK: Dragonfly's commands

extension ElementExpiry {
    private static let maxSeconds: Int64 = 1 << 32

    private func seconds(_ text: RawSpan, from least: Int64) -> Int64? {
        parseInteger(text).flatMap { $0 >= least && $0 < Self.maxSeconds ? $0 : nil }
    }

    /// `SADDEX key [KEEPTTL] seconds member...`: a member that is there keeps what TTL it has with KEEPTTL, and gets the new
    /// one without.
    ///
    /// - Parameter keepsPermanent: where a member that is there has no TTL, it gets none.
    package func addMembers(
        _ command: borrowing JournalCommand, at moment: Moment, keepsPermanent: Bool, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount >= 4 else { return .unsupported(.unknownCommand) }
        let keeps = command.argument(at: 2).isWord("KEEPTTL")
        let first = keeps ? 4 : 3
        guard command.argumentCount > first, let seconds = seconds(command.argument(at: first - 1), from: 0) else {
            return .unsupported(.unknownCommand)
        }
        evaluate(
            """
            for i=4,#ARGV do
            if ARGV[3]=='1' then expire(ARGV[i],ARGV[2],'SREM') end
            if redis.call('SADD',K,ARGV[i])==1 or ARGV[3]=='2' or (ARGV[3]=='0' and redis.call('ZSCORE',S,ARGV[i])) then
            redis.call('ZADD',S,ARGV[1],ARGV[i])
            end
            end
            due()
            """, key: command.argument(at: 1), arguments: 3 + command.argumentCount - first, into: batch)
        batch.bytes.appendBulk(decimal: moment.deadline(inSeconds: seconds))
        batch.bytes.appendBulk(decimal: moment.earliest - Self.marginMilliseconds)
        batch.bytes.appendBulk(keeps ? "1" : keepsPermanent ? "0" : "2")
        batch.append(command, from: first, to: command.argumentCount - 1)
        return .written
    }

    /// `FIELDEXPIRE key seconds element...`, of a set or a hash.
    package func expireElements(
        _ command: borrowing JournalCommand, at moment: Moment, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount >= 4, let seconds = seconds(command.argument(at: 2), from: 0) else {
            return .unsupported(.unknownCommand)
        }
        evaluate(
            """
            local t=redis.call('TYPE',K).ok
            if t=='none' then return end
            for i=4,#ARGV do
            local e=ARGV[i]
            if t=='hash' and ARGV[3]=='1' then
            redis.call('HPEXPIREAT',K,ARGV[1],'FIELDS',1,e)
            else
            expire(e,ARGV[2],t=='hash' and 'HDEL' or 'SREM')
            if redis.call(t=='hash' and 'HEXISTS' or 'SISMEMBER',K,e)==1 then redis.call('ZADD',S,ARGV[1],e) end
            end
            end
            due()
            """, key: command.argument(at: 1), arguments: command.argumentCount, into: batch)
        batch.bytes.appendBulk(decimal: moment.deadline(inSeconds: seconds))
        batch.bytes.appendBulk(decimal: moment.earliest - Self.marginMilliseconds)
        batch.bytes.appendBulk(hasNativeFields ? "1" : "0")
        batch.append(command, from: 3, to: command.argumentCount - 1)
        return .written
    }

    /// `HSETEX`, in either form.
    package func setFields(
        _ command: borrowing JournalCommand, at moment: Moment, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard let fields = FieldExpiryCommand(command, now: moment.latest) else { return .unsupported(.unknownCommand) }
        evaluate(
            """
            local mode,keep=ARGV[3],ARGV[4]=='1'
            if mode~='ALL' or keep then for i=5,#ARGV,2 do expire(ARGV[i],ARGV[2],'HDEL') end end
            if mode=='FNX' or mode=='FXX' then for i=5,#ARGV,2 do
            if (redis.call('HEXISTS',K,ARGV[i])==1)==(mode=='FNX') then return end
            end end
            for i=5,#ARGV,2 do
            local f,set=ARGV[i],true
            if mode=='NX' then set=redis.call('HSETNX',K,f,ARGV[i+1])==1 else redis.call('HSET',K,f,ARGV[i+1]) end
            if set and not (keep and redis.call('ZSCORE',S,f)) then
            if ARGV[1]=='' then redis.call('ZREM',S,f) else redis.call('ZADD',S,ARGV[1],f) end
            end
            end
            due()
            """, key: command.argument(at: 1), arguments: 4 + fields.count, into: batch)
        batch.append(fields.expiry)
        batch.bytes.appendBulk(decimal: moment.earliest - Self.marginMilliseconds)
        batch.bytes.appendBulk(fields.condition.scriptMode)
        batch.bytes.appendBulk(fields.keepsExpiry ? "1" : "0")
        batch.append(command, from: fields.first, to: command.argumentCount - 1)
        return .written
    }

    /// `HGETEX`: a read that may give fields a TTL, or take it.
    package func expireReadFields(
        _ command: borrowing JournalCommand, at moment: Moment, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard let fields = FieldExpiryCommand(command, now: moment.latest) else { return .unsupported(.unknownCommand) }
        switch fields.expiry {
        case .unchanged: return .nothing
        case .none: forget(command, elementsFrom: fields.first, into: batch)
        case .at(let deadline):
            expireFields(
                command, from: fields.first, deadline: deadline, removes: fields.isDue || deadline <= moment.earliest,
                at: moment, into: batch)
        }
        return .written
    }

    /// `HEXPIRE key seconds [NX|XX|GT|LT] FIELDS n field...`; 0 seconds removes the fields.
    package func expireFields(
        _ command: borrowing JournalCommand, at moment: Moment, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount >= 6, let seconds = seconds(command.argument(at: 2), from: 0) else {
            return .unsupported(.unknownCommand)
        }
        let isConditional = !command.argument(at: 3).isWord("FIELDS")
        let first = isConditional ? 6 : 5
        guard command.argumentCount > first else { return .unsupported(.unknownCommand) }
        expireFields(
            command, from: first, condition: isConditional ? 3 : nil, deadline: moment.deadline(inSeconds: seconds),
            removes: seconds == 0, at: moment, into: batch)
        return .written
    }

    /// Gives the fields from argument `first` on `deadline`, where `condition`, an argument of the command, is met.
    private func expireFields(
        _ command: borrowing JournalCommand, from first: Int, condition: Int? = nil, deadline: Int64, removes: Bool,
        at moment: Moment, into batch: CommandBatch
    ) {
        evaluate(
            """
            local at,c=tonumber(ARGV[1]),string.upper(ARGV[3])
            for i=5,#ARGV do
            local f=ARGV[i]
            expire(f,ARGV[2],'HDEL')
            if redis.call('HEXISTS',K,f)==1 then
            local s=redis.call('ZSCORE',S,f)
            s=s and tonumber(s)
            if c=='' or (c=='NX' and not s) or (c=='XX' and s) or (c=='GT' and s and at>s)
            or (c=='LT' and (not s or at<s)) then
            if ARGV[4]=='1' then redis.call('HDEL',K,f) redis.call('ZREM',S,f)
            else redis.call('ZADD',S,ARGV[1],f) end
            end
            end
            end
            due()
            """, key: command.argument(at: 1), arguments: 4 + command.argumentCount - first, into: batch)
        batch.bytes.appendBulk(decimal: deadline)
        batch.bytes.appendBulk(decimal: moment.earliest - Self.marginMilliseconds)
        if let condition { batch.bytes.appendBulk(command.argument(at: condition)) } else { batch.bytes.appendBulk("") }
        batch.bytes.appendBulk(removes ? "1" : "0")
        batch.append(command, from: first, to: command.argumentCount - 1)
    }
}

extension CommandBatch {
    /// Appends the deadline; nothing where there is none.
    func append(_ expiry: FieldExpiryCommand.Expiry) {
        if case .at(let deadline) = expiry { bytes.appendBulk(decimal: deadline) } else { bytes.appendBulk("") }
    }

    /// Appends the arguments `first...last` of `command`, or one in `step` of them.
    func append(_ command: borrowing JournalCommand, from first: Int, to last: Int, step: Int = 1) {
        var place = 0
        var arguments = command.arguments
        while place <= last, let argument = arguments.next() {
            if place >= first, (place - first) % step == 0 { bytes.appendBulk(argument) }
            place += 1
        }
    }
}
