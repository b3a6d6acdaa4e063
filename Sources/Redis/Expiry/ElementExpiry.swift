package import Wire

/// TTLs of set members and hash fields, which are kept in the target beside the data.
///
/// The TTLs of fields are kept here even if the target supports field TTLs and gets them as well. Such a target is not
/// enough: it removes a field silently by its own clock, possibly while a command that extended the TTL in time is still on
/// its way, and in import mode it removes none. The shadow shows which fields the target has or has not removed.
///
/// ```
/// df2redis:ttl:<task>:<key>        zset  element -> deadline                        in the key's database: the key's shadow
/// df2redis:ttl-due:<task>:<flow>   zset  key -> its earliest deadline, or earlier   in each database
/// ```
/// In a cluster, each name begins with the tag of the key's slot, `{<tag>}df2redis:...`, and each slot has a due list of its
/// own.
///
/// Deadlines are Unix milliseconds. They end in .5 if the source's deadline may be earlier (`ElementDeadline`). The shadow
/// and the due list are written in the transaction of the data to which they belong, so a crash leaves all of it or nothing.
/// A key with a shadow is in its flow's due list. A shadow without its key is removed when it is due.
///
/// Commands arrive after they ran; `ExecutionWindow` bounds when a command ran on the source.
package struct ElementExpiry: Sendable, Equatable {
    /// The most by which a deadline that is counted from a command's arrival may be later than the source's.
    package static let marginMilliseconds: Int64 = 1000
    /// The time that a command may take from its execution at the source to its arrival here.
    package static let transitMilliseconds: Int64 = 200
    /// The maximum number of elements that one script removes.
    private static let sweepSize = 1000

    private let shadowPrefix: [UInt8]
    /// The name of the due list, without its slot's tag.
    package let dueKey: [UInt8]
    package let isInCluster: Bool
    /// Whether the target itself expires hash fields, silently and by its own clock. It gets their TTLs as well.
    package let hasNativeFields: Bool
    /// Whether TTLs of set members are kept; otherwise only those of hash fields are.
    package let keepsMembers: Bool

    package static func shadowPrefix(task: String) -> [UInt8] { "df2redis:ttl:\(task):".bytes }
    package static func dueKey(task: String, flow: Int) -> [UInt8] { dueKeys(task: task) + "\(flow)".bytes }
    /// The maximum number of flows that a task may have had.
    private static let maxFlows = 1024

    /// The due lists of all flows that a task may have had.
    static func dueKeys(ofTask task: String) -> [[UInt8]] { (0..<maxFlows).map { dueKey(task: task, flow: $0) } }

    /// The prefix of the due lists of all flows.
    static func dueKeys(task: String) -> [UInt8] { "df2redis:ttl-due:\(task):".bytes }

    package init(
        task: String, flow: Int, hasNativeFields: Bool, isInCluster: Bool = false, keepsMembers: Bool = true
    ) {
        self.isInCluster = isInCluster
        self.keepsMembers = keepsMembers
        shadowPrefix = Self.shadowPrefix(task: task)
        dueKey = Self.dueKey(task: task, flow: flow)
        self.hasNativeFields = hasNativeFields
    }

    func keeps(isField: Bool) -> Bool { isField || keepsMembers }

    func shadow(of key: RawSpan) -> [UInt8] { shadow(of: Array(copying: key)) }

    func shadow(of key: [UInt8]) -> [UInt8] {
        (isInCluster ? SlotTag.key(shadowPrefix, in: KeySlot(of: key)) : shadowPrefix) + key
    }

    /// The due list that a key is in.
    func due(of key: RawSpan) -> [UInt8] { isInCluster ? SlotTag.key(dueKey, in: KeySlot(of: key)) : dueKey }

    func due(of key: [UInt8]) -> [UInt8] { due(of: key.span.bytes) }

    // MARK: Scripts

    static let prologue: StaticString = """
        local K,S,D=KEYS[1],KEYS[2],KEYS[3]
        local function due()
        local n=redis.call('ZRANGE',S,0,0,'WITHSCORES')
        if n[2] then redis.call('ZADD',D,n[2],K) else redis.call('ZREM',D,K) end
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

    /// Removes the TTLs of elements that a command has removed or given a new value.
    package func forget(
        _ command: borrowing JournalCommand, elementsFrom first: Int, step: Int = 1, into batch: CommandBatch
    ) {
        guard command.argumentCount > first else { return }
        batch.append("ZREM") {
            $0.append(shadow(of: command.argument(at: 1)))
            $0.append(contentsOf: command, from: first, step: step)
        }
    }

    /// Removes the TTLs of a key that is gone or has been replaced by another one.
    package func drop(_ key: RawSpan, into batch: CommandBatch) {
        batch.append("UNLINK", shadow(of: key))
        batch.append("ZREM", due(of: key), key)
    }

    /// Removes the TTLs of a key if a command has changed its type.
    package func check(_ key: RawSpan, into batch: CommandBatch) {
        evaluate(
            """
            local t=redis.call('TYPE',K).ok
            if t~='set' and t~='hash' then redis.call('UNLINK',S) redis.call('ZREM',D,K) end
            """, key: key, into: batch)
    }

    /// Renames the shadow of a value that was built under the name `partial`. Comes before the RENAMENX that publishes the
    /// value.
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

    /// Moves the TTLs of a key after a RENAME.
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

    /// Moves the TTLs of a key between two slots of a cluster, by commands that may cross slots themselves.
    private func moveShadow(of key: RawSpan, to newKey: RawSpan, into batch: CommandBatch) {
        let (old, new) = (shadow(of: key), shadow(of: newKey))
        batch.append(["UNLINK".bytes, new])
        batch.append(
            ["EVAL".bytes, "\(JournalRewriter.rename)".bytes, "2".bytes, old, new])
        batch.append(["ZREM".bytes, due(of: key), Array(copying: key)])
        evaluate("due()", key: newKey, into: batch)
    }

    /// Writes `MOVE key database`, and moves the shadow if the key moves.
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
    /// - Parameter slot: the slot of a cluster; `nil` if the target is not a cluster.
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
