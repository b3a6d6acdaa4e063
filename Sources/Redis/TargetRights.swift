import Link
import Wire

/// What the target's ACL, and renamed commands, leave of the commands that df2redis sends.
///
/// The rights are determined without any effect: between MULTI and the end of a connection, each command is queued or
/// refused, by its name and its keys, but none runs. A server that refuses a command and runs those after it, as a Dragonfly
/// does, is recognised before anything that would do harm is sent to it.
package struct TargetRights: Equatable, Sendable {
    /// What happens to a task that lacks a command.
    enum Use: Sendable {
        /// The task cannot run without the command.
        case needed
        /// There is another way to do it.
        case replaceable
        /// Only some sources make us send the command. The log mentions it, and the task ends when it needs the command.
        case seldom
    }

    /// Commands that are forbidden or unknown, in upper case and with their subcommand.
    package private(set) var missing: Set<String> = []
    /// Whether the user may not access df2redis' own keys.
    package private(set) var lacksOwnKeys = false
    /// Whether the user may not access some of the keys that the source might have.
    package private(set) var lacksSomeKeys = false
    /// Whether the server is a node of a cluster.
    private var isOfNode = false

    package init() {}

    /// The role of the connection that asks. The connection is closed afterwards, and is not a sign that a process runs the
    /// task.
    static let role = "rights"

    package func allows(_ command: String) -> Bool { !missing.contains(command) }

    package var canFlush: Bool { allows("FLUSHALL") && allows("FLUSHDB") }

    /// Whether a command whose keys are in several slots of a cluster can be run.
    package var canCrossSlots: Bool { !isOfNode || Self.copying.allSatisfy(allows) }

    /// The commands that copy a value from one slot to another (`CrossSlotCommand`).
    private static let copying = ["DUMP", "PEXPIRETIME", "RESTORE"]

    // MARK: The commands

    /// Commands with arguments of the right number; `K` is replaced by a key.
    private static let needed = """
        SELECT 0|INFO|DBSIZE|SCAN 0|EXISTS K|GET K|SET K v|DEL K|UNLINK K|PTTL K|WATCH K
        HSET K f v|HGET K f|HGETALL K|HDEL K f|HSETNX K f v|HMSET K f v|HINCRBY K f 1
        APPEND K v|SETRANGE K 0 v|GETSET K v|GETDEL K|INCR K|INCRBY K 1|DECR K|DECRBY K 1|SETBIT K 0 1|BITFIELD K
        BITOP AND K K|MSET K v|MSETNX K v|PERSIST K|PEXPIREAT K 1|RENAME K K|RENAMENX K K|COPY K K|MOVE K 1
        SADD K m|SREM K m|SPOP K|SMOVE K K m|SINTERSTORE K K|SUNIONSTORE K K|SDIFFSTORE K K
        LPUSH K v|RPUSH K v|LPUSHX K v|RPUSHX K v|LPOP K|RPOP K|LSET K 0 v|LTRIM K 0 1|LREM K 0 v|LINSERT K BEFORE a b
        LMOVE K K LEFT RIGHT|RPOPLPUSH K K
        ZADD K 1 m|ZINCRBY K 1 m|ZREM K m|ZREMRANGEBYRANK K 0 1|ZREMRANGEBYSCORE K 0 1|ZREMRANGEBYLEX K - +|ZPOPMIN K
        ZPOPMAX K|ZUNIONSTORE K 1 K|ZINTERSTORE K 1 K|ZDIFFSTORE K 1 K|ZRANGESTORE K K 0 1|ZRANGE K 0 1|ZSCORE K m
        GEOADD K 0 0 m|GEOSEARCHSTORE K K FROMLONLAT 0 0 BYRADIUS 1 m|PFADD K v|PFMERGE K K
        XADD K * f v|XTRIM K MAXLEN 0|XDEL K 1-1|XSETID K 1-1|XACK K g 1-1|XCLAIM K g c 0 1-1|XAUTOCLAIM K g c 0 0
        XGROUP CREATE K g 0|XGROUP CREATECONSUMER K g c|XGROUP DESTROY K g|XGROUP SETID K g 0|XGROUP DELCONSUMER K g c
        """
    private static let replaceable = """
        RESTORE K 0 v|EVAL return 1 K|SCRIPT LOAD return|CLIENT LIST|CLIENT KILL ID 0|CONFIG GET databases
        ZSCAN K 0|ZCARD K|FLUSHALL \(wrongOptions)|FLUSHDB \(wrongOptions)
        """
    /// Options that cause a syntax error. The server only finds the error when it runs the command, so it queues the command
    /// in a transaction, and nothing would happen even if the command ran.
    private static let wrongOptions = "df2redis does-not-want-this"
    /// Commands that a node of a cluster needs in addition.
    private static let neededOfNode =
        "ASKING|CLUSTER SLOTS|CLUSTER NODES|CLUSTER INFO|CLUSTER GETKEYSINSLOT 0 1|HMGET K f"
    /// Commands that a node of a cluster can do without.
    private static let replaceableOfNode = "DUMP K|PEXPIRETIME K"
    private static let seldom = "SORT K|GEORADIUS K 0 0 1 m|GEORADIUSBYMEMBER K m 1 m"

    private struct Sample: Sendable {
        var name: String
        var arguments: [String]
        var use: Use
    }

    private static let samples =
        samples(needed, .needed) + samples(replaceable, .replaceable) + samples(seldom, .seldom)
    private static let samplesOfNode = samples(neededOfNode, .needed) + samples(replaceableOfNode, .replaceable)

    private static func samples(_ text: String, _ use: Use) -> [Sample] {
        text.split { $0 == "|" || $0 == "\n" }.map { line in
            var words = line.split(separator: " ").map(String.init)
            // The script is one argument and is followed by the number of its keys.
            if words[0] == "EVAL" { words = ["EVAL", "return 1", "1", "K"] }
            let hasSubcommand = ["XGROUP", "CLIENT", "CONFIG", "SCRIPT", "CLUSTER"].contains(words[0])
            return Sample(
                name: words.prefix(hasSubcommand ? 2 : 1).joined(separator: " "), arguments: words, use: use)
        }
    }

    static func names(_ use: Use) -> Set<String> {
        Set((samples + samplesOfNode).lazy.filter { $0.use == use }.map(\.name))
    }

    // MARK: Asking

    /// Reads. A user with any useful rights may use at least one of them.
    private static let reads = samples("DBSIZE|INFO|SCAN 0|EXISTS K|GET K", .needed)
    /// A command that no server knows.
    private static let unknownCommand = "DF2REDIS.UNKNOWN"

    /// The questions that are sent with the greeting of a connection for `ask`.
    static func beginning(ownKey: String) -> [[String]] {
        [["INFO", "server"], ["MULTI"], [unknownCommand]]
            + reads.map { command($0, ownKey) }
    }

    private static func command(_ sample: Sample, _ ownKey: String) -> [String] {
        sample.arguments.map { $0 == "K" ? ownKey : $0 }
    }

    /// Checks that commands are only queued from here on, even after one is refused. Nothing that would do harm if it ran
    /// may be sent before this check.
    ///
    /// - Parameter replies: the replies to `beginning`.
    /// - Returns: `nil` if commands are only queued; what the user lacks if it may not even use the commands of this check.
    private static func lacking(_ replies: [RESPValue]) throws(TargetError) -> TargetRights? {
        if let info = replies[0].text.map({ ServerInfo($0) }) { try ProfileQuestions.refuseOtherKinds(info) }
        guard replies[1].isOK else { throw TargetError.reply(replies[1].errorText ?? "no OK", to: "MULTI") }
        let found = replies.dropFirst(3)
        guard replies[2].errorText != nil, found.allSatisfy({ $0.text == "QUEUED" || $0.errorText != nil }) else {
            throw TargetError(
                .unsuitable, "the target runs the commands of a transaction before its EXEC: it is no Redis or Valkey")
        }
        if found.contains(where: { $0.text == "QUEUED" }) { return nil }
        var rights = TargetRights()
        for (sample, reply) in zip(reads, found) { rights.note(sample, reply) }
        return rights
    }

    /// - Parameters:
    ///   - connection: the connection, which cannot be used afterwards.
    ///   - begun: the replies to `beginning`.
    ///   - ownKey: a key of df2redis' own.
    ///   - isInCluster: whether df2redis' own keys may also have names with hash tags.
    /// - Throws: `TargetError`, `RequestFailure`.
    static func ask(
        _ connection: RequestConnection, begun: [RESPValue], ownKey: String, isInCluster: Bool = false,
        timeout: Duration
    ) async throws -> TargetRights {
        if let rights = try lacking(begun) { return rights }
        var rights = TargetRights()
        rights.isOfNode = isInCluster
        let samples = samples + (isInCluster ? samplesOfNode : [])
        let keys = ["key", "df2redis:"] + (isInCluster ? ["{tag}df2redis:"] : [])
        let commands =
            samples.map { command($0, ownKey) } + keys.map { ["SET", $0, "value", wrongOptions] }
        let replies = try await connection.requests(commands.map { $0.map(\.bytes) }, timeout: timeout)
        for (sample, reply) in zip(samples, replies) { rights.note(sample, reply) }
        let areForbidden = replies.dropFirst(samples.count).map { $0.errorText.map(isAboutKeys) ?? false }
        rights.lacksSomeKeys = areForbidden[0]
        if areForbidden.dropFirst().contains(true) { rights.lacksOwnKeys = true }
        return rights
    }

    private mutating func note(_ sample: Sample, _ reply: RESPValue) {
        guard let text = reply.errorText else { return }
        if Self.isAboutKeys(text) {
            lacksOwnKeys = true
        } else if text.hasPrefix("NOPERM") || text.hasPrefix("ERR unknown command")
            || text.hasPrefix("ERR unknown subcommand")
        {
            missing.insert(sample.name)
        }
    }

    /// Whether an error is about keys, such as "... no permissions to access one of the keys ..." or "No permissions to
    /// access a key".
    private static func isAboutKeys(_ text: String) -> Bool { text.hasPrefix("NOPERM") && text.contains(" access ") }

    /// Keeps only the rights that both have.
    mutating func narrow(to other: TargetRights) {
        missing.formUnion(other.missing)
        lacksOwnKeys = lacksOwnKeys || other.lacksOwnKeys
        lacksSomeKeys = lacksSomeKeys || other.lacksSomeKeys
        isOfNode = isOfNode || other.isOfNode
    }

    // MARK: Consequences

    /// The ACL rules that the user needs in addition.
    private func rules(_ commands: Set<String>, keys: [String] = []) -> String {
        (commands.sorted().map { "+\($0.lowercased().replacing(" ", with: "|"))" } + keys.map { "~\($0)*" })
            .joined(separator: " ")
    }

    /// - Parameter ownKeys: the prefixes of df2redis' own keys.
    /// - Throws: `TargetError` if a task cannot run with these rights.
    package func requireNeeded(user: String?, ownKeys: Set<String>) throws(TargetError) {
        let commands = missing.intersection(Self.names(.needed))
        guard !commands.isEmpty || lacksOwnKeys else { return }
        var lacks: [String] = []
        if !commands.isEmpty { lacks.append("may not use \(commands.sorted().joined(separator: ", "))") }
        if lacksOwnKeys { lacks.append("may not write df2redis' own keys") }
        throw TargetError(
            .permission,
            "the target's user \(user ?? "default") \(lacks.joined(separator: " and ")): nothing has been written. "
                + "On the target: ACL SETUSER \(user ?? "default") \(rules(commands, keys: lacksOwnKeys ? ownKeys.sorted() : []))"
        )
    }

    /// What is done another way, or not at all, for lack of rights, in one sentence each.
    package var losses: [String] {
        var losses: [String] = []
        func forbids(_ commands: [String]) -> String? {
            let lacking = commands.filter { !allows($0) }
            return lacking.isEmpty ? nil : "the target does not allow \(lacking.joined(separator: ", ")) to this user: "
        }
        if let text = forbids(["RESTORE"]) {
            losses.append(
                text + "values are taken apart and written with plain commands, which takes the target longer; "
                    + "a stream's consumers lose their idle times")
        }
        if isOfNode, let text = forbids(Self.copying) {
            losses.append(
                text
                    + "a command whose keys are in several slots, such as RENAME or SMOVE, is not run: its keys are read "
                    + "at the source, or, where none are read (a migration, refresh.keysPerSecond: 0), it ends the task "
                    + "(\(rules(Set(Self.copying.filter { !allows($0) }))))")
        }
        if let text = forbids(["EVAL"]) {
            losses.append(
                text + "expiry.guardSeconds is without effect, so the target may expire keys before the source does; "
                    + "TTLs of set members and of hash fields are treated as policy.onUnsupported says, and so are PREPEND, and DELEX and HSETEX with a condition; "
                    + "the target adds floats itself, and may differ in the last digit; a key renamed over another one "
                    + "keeps its own TTL")
        }
        if let text = forbids(["CLIENT LIST", "CLIENT KILL"]) {
            losses.append(
                text + "after a crash, what the previous process left in the target's sockets may be applied twice")
        }
        if let text = forbids(["CONFIG GET"]) {
            losses.append(
                text
                    + "its databases are counted by trying, and how large a value may be is not known before one is refused"
            )
        }
        if let text = forbids(["SCRIPT LOAD"]) { losses.append(text + "the source's scripts are not loaded") }
        if let text = forbids(["FLUSHALL", "FLUSHDB"]) {
            losses.append(text + "a FLUSHALL or FLUSHDB of the source removes keys one by one")
        }
        let seldom = Self.names(.seldom).filter { !allows($0) }.sorted()
        if let text = forbids(seldom) {
            losses.append(text + "a source that uses one with STORE ends the task (\(rules(Set(seldom))))")
        }
        if lacksSomeKeys {
            losses.append(
                "the target's ACL limits this user to some keys: the first other key of the source ends the task")
        }
        return losses
    }
}

extension TargetControl {
    /// Determines what the target allows us, on a separate connection to each server.
    package func rights(ownKey: String) async throws(TargetError) -> TargetRights {
        var rights = TargetRights()
        for server in try await servers.all() {
            let questions = TargetRights.beginning(ownKey: ownKey).map { $0.map(\.bytes) }
            let opened = try await server.connector.connect(
                role: TargetRights.role, replacing: false, asking: questions)
            let connection = opened.connection
            do {
                let found = try await TargetRights.ask(
                    connection, begun: opened.answers, ownKey: ownKey, isInCluster: servers.cluster != nil,
                    timeout: connector.settings.timeout)
                await connection.close()
                rights.narrow(to: found)
            } catch {
                await connection.close()
                throw TargetError(error)
            }
        }
        return rights
    }
}
