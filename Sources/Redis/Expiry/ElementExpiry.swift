package import Wire

/// TTLs of set members, and of hash fields where the target has none, kept in the target itself beside the data.
///
/// ```
/// df2redis:ttl:<task>:<key>        zset  element -> deadline                        in the key's database: the key's shadow
/// df2redis:ttl-due:<task>:<flow>   zset  key -> its earliest deadline, or earlier   in each database
/// ```
/// In a cluster each begins with the tag of the key's slot, `{<tag>}df2redis:...`, and there is a due list in each slot.
///
/// Deadlines are Unix milliseconds. Both are written in the transaction of the data that they belong to, so a crash leaves
/// all of it or nothing. A key with a shadow is in its flow's due list; a shadow without its key is removed when it is due.
///
/// Commands arrive after they ran; `ExecutionWindow` bounds when a command ran on the source.
package struct ElementExpiry: Sendable, Equatable {
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
    /// Flows that a task may have had.
    private static let maxFlows = 1024

    /// The due lists of all flows that a task may have had.
    static func dueKeys(ofTask task: String) -> [[UInt8]] { (0..<maxFlows).map { dueKey(task: task, flow: $0) } }

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

    /// Appends `EVAL script 3 key shadow due ...` with the arguments that `arguments` appends.
    private func evaluate(
        _ script: StaticString, key: RawSpan, into batch: CommandBatch,
        _ arguments: (inout ArgumentList) -> Void = { _ in }
    ) {
        batch.append("EVAL") {
            $0.append(Self.prologue, followedBy: script)
            $0.append("3")
            $0.append(key)
            $0.append(shadow(of: key))
            $0.append(due(of: key))
            arguments(&$0)
        }
    }

    /// Removes elements whose TTLs have passed, ahead of a command to which that makes a difference. Where the window leaves
    /// open whether one had passed, the element stays, without a TTL, and an empty reply reports it.
    package func removeExpired(
        namedBy command: borrowing JournalCommand, from first: Int, to last: Int, removal: StaticString,
        in window: ExecutionWindow, into batch: CommandBatch
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
            """, key: command.argument(at: 1), into: batch
        ) {
            $0.append(window.earliest)
            $0.append(window.latest + Self.marginMilliseconds)
            $0.append(removal)
            $0.append(contentsOf: command, from: first, to: last)
        }
    }

    /// Elements that a command has removed, or given a new value, have no TTL any more.
    package func forget(
        _ command: borrowing JournalCommand, elementsFrom first: Int, step: Int = 1, into batch: CommandBatch
    ) {
        guard command.argumentCount > first else { return }
        batch.append("ZREM") {
            $0.append(shadow(of: command.argument(at: 1)))
            $0.append(contentsOf: command, from: first, step: step)
        }
    }

    /// The key is gone, or another one has taken its place.
    package func drop(_ key: RawSpan, into batch: CommandBatch) {
        batch.append("UNLINK", shadow(of: key))
        batch.append("ZREM", due(of: key), key)
    }

    /// A command may have made something else of the key.
    package func check(_ key: RawSpan, into batch: CommandBatch) {
        evaluate(
            """
            local t=redis.call('TYPE',K).ok
            if t~='set' and t~='hash' then redis.call('UNLINK',S) redis.call('ZREM',D,K) end
            """, key: key, into: batch)
    }

    /// Ahead of the RENAMENX that gives a value built under `partial` its name.
    func publish(_ partial: [UInt8], as key: [UInt8], into batch: CommandBatch) {
        evaluate(
            """
            redis.call('ZREM',D,ARGV[1])
            if redis.call('EXISTS',K)==0 then redis.call('RENAME',ARGV[2],S) due() else redis.call('UNLINK',ARGV[2]) end
            """, key: key.span.bytes, into: batch
        ) {
            $0.append(partial)
            $0.append(shadow(of: partial))
        }
    }

    /// After a RENAME.
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
            """, key: key, into: batch
        ) {
            $0.append(newKey)
            $0.append(shadow(of: newKey))
        }
    }

    /// The same between two slots of a cluster, by commands that cross slots by themselves.
    private func moveShadow(of key: RawSpan, to newKey: RawSpan, into batch: CommandBatch) {
        let (old, new) = (shadow(of: key), shadow(of: newKey))
        batch.append([Array("UNLINK".utf8), new])
        batch.append(
            [Array("EVAL".utf8), Array("\(JournalRewriter.rename)".utf8), Array("2".utf8), old, new])
        batch.append([Array("ZREM".utf8), due(of: key), key.withUnsafeBytes { Array($0) }])
        evaluate("due()", key: newKey, into: batch)
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
            """, key: key, into: batch
        ) {
            $0.append(Int64(database))
            $0.append(target)
        }
    }

    /// Removes elements that are due by `time` in the selected database. An empty reply reports that there are more.
    ///
    /// - Parameter slot: of a cluster; `nil`: the target is none.
    package func sweep(until time: Int64, in slot: KeySlot? = nil, into batch: CommandBatch) {
        batch.reportsEmptyReplies = true
        batch.append("EVAL") {
            $0.append(
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
            $0.append("1")
            $0.append(slot.map { SlotTag.key(dueKey, in: $0) } ?? dueKey)
            $0.append(time)
            $0.append(slot.map { SlotTag.key(shadowPrefix, in: $0) } ?? shadowPrefix)
            $0.append(Int64(Self.sweepSize))
        }
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
        _ command: borrowing JournalCommand, in window: ExecutionWindow, keepsPermanent: Bool, into batch: CommandBatch
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
            """, key: command.argument(at: 1), into: batch
        ) {
            $0.append(window.deadline(inSeconds: seconds))
            $0.append(window.earliest - Self.marginMilliseconds)
            $0.append((keeps ? "1" : keepsPermanent ? "0" : "2") as StaticString)
            $0.append(contentsOf: command, from: first)
        }
        return .written
    }

    /// `FIELDEXPIRE key seconds element...`, of a set or a hash.
    package func expireElements(
        _ command: borrowing JournalCommand, in window: ExecutionWindow, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard command.argumentCount >= 4, let seconds = seconds(command.argument(at: 2), from: 0) else {
            return .unsupported(.unknownCommand)
        }
        evaluate(
            """
            local t=redis.call('TYPE',K).ok
            if t=='none' then return end
            if t~='hash' and t~='set' then return redis.error_reply('WRONGTYPE FIELDEXPIRE of a '..t) end
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
            """, key: command.argument(at: 1), into: batch
        ) {
            $0.append(window.deadline(inSeconds: seconds))
            $0.append(window.earliest - Self.marginMilliseconds)
            $0.append((hasNativeFields ? "1" : "0") as StaticString)
            $0.append(contentsOf: command, from: 3)
        }
        return .written
    }

    /// `HSETEX`, in either form.
    package func setFields(
        _ command: borrowing JournalCommand, in window: ExecutionWindow, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard let fields = FieldExpiryCommand(command, now: window.latest) else { return .unsupported(.unknownCommand) }
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
            """, key: command.argument(at: 1), into: batch
        ) {
            $0.append(fields.expiry)
            $0.append(window.earliest - Self.marginMilliseconds)
            $0.append(fields.condition.scriptMode)
            $0.append((fields.keepsExpiry ? "1" : "0") as StaticString)
            $0.append(contentsOf: command, from: fields.first)
        }
        return .written
    }

    /// `HGETEX`: a read that may give fields a TTL, or take it.
    package func expireReadFields(
        _ command: borrowing JournalCommand, in window: ExecutionWindow, into batch: CommandBatch
    ) -> RewriteOutcome {
        guard let fields = FieldExpiryCommand(command, now: window.latest) else { return .unsupported(.unknownCommand) }
        switch fields.expiry {
        case .unchanged: return .nothing
        case .none: forget(command, elementsFrom: fields.first, into: batch)
        case .at(let deadline):
            expireFields(
                command, from: fields.first, deadline: deadline, removes: fields.isDue || deadline <= window.earliest,
                in: window, into: batch)
        }
        return .written
    }

    /// `HEXPIRE key seconds [NX|XX|GT|LT] FIELDS n field...`; 0 seconds removes the fields.
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
            command, from: first, condition: isConditional ? 3 : nil, deadline: window.deadline(inSeconds: seconds),
            removes: seconds == 0, in: window, into: batch)
        return .written
    }

    /// Gives the fields from argument `first` on `deadline`, where `condition`, an argument of the command, is met.
    private func expireFields(
        _ command: borrowing JournalCommand, from first: Int, condition: Int? = nil, deadline: Int64, removes: Bool,
        in window: ExecutionWindow, into batch: CommandBatch
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
            """, key: command.argument(at: 1), into: batch
        ) {
            $0.append(deadline)
            $0.append(window.earliest - Self.marginMilliseconds)
            if let condition { $0.append(command.argument(at: condition)) } else { $0.append("") }
            $0.append((removes ? "1" : "0") as StaticString)
            $0.append(contentsOf: command, from: first)
        }
    }
}
