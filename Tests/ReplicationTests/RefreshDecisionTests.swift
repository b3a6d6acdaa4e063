import Dragonfly
import Link
import Logging
import Redis
import Testing
import Wire

@testable import Replication

/// For each way in which a key can come to differ: whether it is read at the source. A new one without a decision does not
/// compile.
@Suite struct `A request to read a key at the source` {
    private let queue: RefreshQueue
    private let scene: EncoderScene

    init() {
        let queue = RefreshQueue(path: nil, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        self.queue = queue
        scene = EncoderScene(
            policy: {
                $0.onUnsupported = .skip
                $0.onError = .skip
            }, context: { $0.refreshes = queue })
    }

    private var asked: Set<String> {
        Set(queue.take(atMost: 100).map { "\($0.key.database) \(String(decoding: $0.key.key, as: UTF8.self))" })
    }

    private static func isRead(_ divergence: Divergence) -> Bool {
        switch divergence {
        case .fragmentedSort, .sortByPattern, .fragmentedGeoRadius, .storedScores, .storedExpiry, .expiryInThePast,
            .moveInSnapshot, .storeInSnapshot, .storeInDoubt, .consumerGroupReads, .claimIdleTimes, .pendingEntries,
            .elementExpiryInDoubt, .floatSum, .saturatedBits, .jsonModules, .ignoredComparison, .listOrder, .lexOrder,
            .crossSlot:
            true
        }
    }

    private static func isRead(_ unsupported: Unsupported) -> Bool {
        switch unsupported {
        // The result may be of a type that the target knows.
        case .unknownCommand, .payload, .scripting: true
        // The target has no type for it.
        case .json, .bloom, .countMinSketch, .topK, .cuckoo, .fieldExpiry, .memberExpiry, .database: false
        // No data, or none that may be there.
        case .searchIndex, .throttle, .reservedKey: false
        }
    }

    @Test(arguments: Divergence.allCases) func `is made for the kinds of divergence that need it`(
        _ divergence: Divergence
    ) {
        scene.encoder.reports.report(divergence, subject: "COMMAND", key: Array("k".utf8).span.bytes, database: 3)
        #expect(asked == (Self.isRead(divergence) ? ["3 k"] : []))
    }

    @Test(arguments: Unsupported.allCases) func `is made for the kinds of unsupported data that need it`(
        _ unsupported: Unsupported
    ) {
        scene.encoder.reports.report(unsupported, subject: "COMMAND", key: Array("k".utf8).span.bytes, database: 3)
        #expect(asked == (Self.isRead(unsupported) ? ["3 k"] : []))
    }

    /// With scripts the target itself reports such hashes (`ElementExpiry`).
    @Test func `is made for a hash whose field may have expired, if the target has field TTLs and no scripts`() throws {
        var profile = TargetProfile(flavor: .redis, version: .init(7, 4), hasFieldExpiry: true)
        profile.hasScripts = false
        func scene(isContinued: Bool) -> EncoderScene {
            EncoderScene(
                profile: profile,
                context: { [queue] in $0.refreshes = queue },
                start: {
                    guard isContinued else { return }
                    ($0.mode, $0.next) = (.partial, LSN(1))
                    $0.openDatabases = [0]
                })
        }
        let fresh = scene(isContinued: false)
        fresh.becomeStable()
        for line in ["HSET h a 1", "HINCRBY h a 1", "HSETNX h b 1", "HSETEX t 10 f 1", "HGETEX g FIELDS 1 f"] {
            try fresh.journal(line, inSnapshot: false)
        }
        #expect(asked == [])
        for line in ["HINCRBY t f 1", "RENAME t u", "HINCRBY g f 1"] { try fresh.journal(line, inSnapshot: false) }
        #expect(asked == ["0 t", "0 u"])
        try fresh.journal("HSETEX v 10 f 1", inSnapshot: false)
        try fresh.journal("HEXPIRE v 20 FIELDS 1 f", inSnapshot: false)
        #expect(asked == ["0 v"])

        let resumed = scene(isContinued: true)
        for line in ["HSET h a 1", "HINCRBY h a 1", "HINCRBY h a 1", "FIELDEXPIRE x 10 f"] {
            try resumed.journal(line, inSnapshot: false)
        }
        #expect(asked == ["0 h", "0 x"])
        #expect(fresh.letters == [] && resumed.letters == [])
    }

    @Test func `is made for both keys of a MOVE during a full sync`() throws {
        try scene.journal("MOVE k 5")
        #expect(asked == ["0 k", "5 k"])
    }

    private static func commands(_ scene: EncoderScene) throws -> [String] {
        try scene.lines().filter { !$0.hasPrefix("SELECT") }
    }

    /// Flow 0 of a task into a cluster whose user lacks what it takes to copy values between slots.
    private func sceneWithoutCopies(refreshes: RefreshQueue?) -> EncoderScene {
        var profile = TargetProfile(flavor: .redis, version: .init(7, 0, 15))
        (profile.masterCount, profile.hasRestore, profile.canCrossSlots) = (3, false, false)
        var settings = TargetSettings(endpoint: Endpoint(host: "127.0.0.1", port: 1), clientName: "test")
        settings.cluster = ClusterAddresses(seeds: [settings.endpoint])
        let connector = TargetConnector(settings: settings)
        let scene = EncoderScene(
            profile: profile,
            context: {
                $0.connector = connector
                $0.refreshes = refreshes
            })
        scene.becomeStable()
        return scene
    }

    @Test(
        arguments: [
            ("RENAME a b", ["0 a", "0 b"], "a"), ("RENAMENX a b", ["0 a", "0 b"], "a"),
            ("SMOVE a b m", ["0 a", "0 b"], "a"),
            ("SUNIONSTORE d a b", ["0 d"], "d"), ("BITOP AND d a b", ["0 d"], "d"), ("SORT a STORE b", ["0 b"], "b"),
        ] as [(String, Set<String>, String)])
    func `is made for a command over several slots if values cannot be copied between them`(
        _ line: String, _ keys: Set<String>, _ reported: String
    ) throws {
        let scene = sceneWithoutCopies(refreshes: queue)
        try scene.journal(line, inSnapshot: false)
        #expect(try Self.commands(scene) == [])
        #expect(asked == keys)
        #expect(scene.letters == ["cross-slot \"\(reported)\""])
        #expect(scene.failure == nil && scene.encoder.nextLSN == 2)
    }

    @Test func `is not made for a command that copies no values, nor if no key can be read`() throws {
        let scene = sceneWithoutCopies(refreshes: queue)
        for line in ["RENAME {t}a {t}b", "MSET a 1 b 2", "DEL a b", "SUNIONSTORE {t}d {t}a"] {
            try scene.journal(line, inSnapshot: false)
        }
        #expect(try Self.commands(scene).count == 4)
        #expect(asked == [] && scene.letters == [])
        let blind = sceneWithoutCopies(refreshes: nil)
        try blind.journal("RENAME a b", inSnapshot: false)
        #expect(try Self.commands(blind).count == 1)
        #expect(blind.letters == [])
    }

    @Test func `is made for a key that a MOVE brings from a database that is left out`() throws {
        let scene = EncoderScene(
            policy: { $0.skippedDatabases = [3] }, context: { $0.refreshes = queue })
        try scene.journal("MOVE k 0", database: 3)
        #expect(asked == ["0 k"])
        #expect(scene.letters == ["database-number \"k\""])
    }

    @Test func `is made for the destination of a STORE, during a full sync and after it`() throws {
        try scene.journal("SORT from STORE to")
        scene.encoder.snapshotCompleted()
        try scene.journal("SORT from STORE to:2 DESC")
        try scene.journal("GEORADIUS from 15 37 200 km STOREDIST to:3")
        #expect(asked == ["0 to", "0 to:2", "0 to:3"])
    }

    @Test(arguments: [
        ("RENAME tmp to", "0 to"), ("RENAMENX tmp to", "0 to"), ("MOVE tmp 5", "5 tmp"), ("SORT tmp STORE to", "0 to"),
        ("GEORADIUS tmp 1 2 3 km STORE to", "0 to"),
    ])
    func `is made for a key that gets the value of a waiting one`(_ line: String, _ destination: String) throws {
        try scene.journal(line)
        #expect(asked.subtracting(["0 tmp", "0 to", "5 tmp"]) == [])
        queue.fullSyncBegins()
        scene.becomeStable()
        try scene.journal("RENAME other to", inSnapshot: false)
        #expect(asked == [], "nobody has asked for the other")
        scene.encoder.reports.refresh(Array("tmp".utf8).span.bytes, database: 0)
        #expect(asked == ["0 tmp"])
        try scene.journal(line, inSnapshot: false)
        #expect(asked == [destination])
    }

    @Test func `is made for every name that a waiting key gets`() throws {
        scene.becomeStable()
        scene.encoder.reports.refresh(Array("a".utf8).span.bytes, database: 0)
        for line in ["RENAME a b", "RENAME b c", "MOVE c 2"] { try scene.journal(line, inSnapshot: false) }
        #expect(asked == ["0 a", "0 b", "0 c", "2 c"])
    }

    /// The keys that are requested when the target refuses `command` of the batch.
    private func asked(whenRefused command: String, of batch: CommandBatch) throws -> Set<String> {
        let index = try #require(batch.wireLines().firstIndex(of: command))
        let classifier = ReplyClassifier(scene.context, scene.encoder.reports, nil)
        let refusal = UnexpectedReply(command: index, kind: .error("ERR value is not an integer"))
        #expect(classifier.classify(refusal, of: batch) == nil)
        defer { queue.fullSyncBegins() }
        return asked
    }

    @Test func `is made for all names that a refused key gets before the target's reply`() throws {
        scene.becomeStable()
        for line in [
            "RENAME n before", "INCRBY n +5", "RENAME n m", "SET a 1", "SET b 1", "LTRIM a 0 -0", "RENAMENX m o",
            "MOVE o 2",
        ] { try scene.journal(line, inSnapshot: false) }
        let first = scene.encoder.endBatch(flowBytes: 1)
        try scene.journal("RENAME a c", inSnapshot: false)
        try scene.journal("INCRBY c +1", inSnapshot: false)
        let second = scene.encoder.endBatch(flowBytes: 2)
        #expect((first.progress.transfers, second.progress.transfers) == (4, 1))
        #expect(asked == [])
        #expect(try asked(whenRefused: "INCRBY n +5", of: first) == ["0 n", "0 m", "0 o", "2 o"])
        #expect(try asked(whenRefused: "LTRIM a 0 -0", of: first) == ["0 a", "0 c"])
        // Also if the batch is taken apart into single commands.
        #expect(try asked(whenRefused: "LTRIM a 0 -0", of: first.inSingleCommands()) == ["0 a", "0 c"])
        scene.encoder.reports.confirmed(first.progress)
        #expect(try asked(whenRefused: "INCRBY n +5", of: first) == ["0 n"], "they are confirmed")
        #expect(try asked(whenRefused: "INCRBY c +1", of: second) == ["0 c"])
        #expect(try asked(whenRefused: "LTRIM a 0 -0", of: first) == ["0 a", "0 c"])
        scene.encoder.reports.confirmed(second.progress)
        #expect(try asked(whenRefused: "LTRIM a 0 -0", of: first) == ["0 a"])
    }

    @Test func `is made for all names that a refused key gets in a full sync before the target's reply`() throws {
        for line in ["INCRBY n +5", "RENAME n m"] { try scene.journal(line) }
        let batch = scene.encoder.endBatch(flowBytes: 1)
        #expect(try asked(whenRefused: "INCRBY n +5", of: batch) == ["0 n", "0 m"])
        scene.encoder.reports.confirmed(batch.progress)
        #expect(try asked(whenRefused: "INCRBY n +5", of: batch) == ["0 n"])
    }

    private struct Reply: Sendable {
        var command: String
        var kind: UnexpectedReply.Kind
        var isEffective = false
        var isRepeated = false
        var keys: Set<String>
    }

    private static let replies = [
        Reply(command: "PERSIST k", kind: .zero, isEffective: true, keys: ["0 k"]),
        Reply(command: "PERSIST k", kind: .zero, keys: []),
        Reply(command: "RENAME a b", kind: .error("ERR no such key"), keys: ["0 a", "0 b"]),
        Reply(command: "LPUSH k v", kind: .error("WRONGTYPE Operation against a key"), keys: ["0 k"]),
        Reply(command: "LPUSH k v", kind: .error("WRONGTYPE Operation against a key"), isRepeated: true, keys: ["0 k"]),
        Reply(
            command: "SUNIONSTORE to a b", kind: .error("WRONGTYPE Operation against a key"),
            keys: ["0 to", "0 a", "0 b"]),
        Reply(command: "XCLAIM k g c 0 1-1", kind: .empty, keys: ["0 k"]),
        // A value that we had built is gone: the key that was to get it is read.
        Reply(command: "RENAME df2redis:value:test:whole k", kind: .error("ERR no such key"), keys: ["0 k"]),
        Reply(
            command: "RENAME {06S}df2redis:value:test:whole k", kind: .error("ERR no such key"), isRepeated: true,
            keys: ["0 k"]),
    ]

    private static let wrongType = "WRONGTYPE Operation against a key holding the wrong kind of value"
    /// From a Redis 7.0.
    private static let notNumbers =
        "ERR One or more scores can't be converted into double script: 5bd8, on @user_script:1."
    private static let expected: [(command: [String], error: String, kind: String, keys: Set<String>)] = [
        (["ZPOPMIN", "k"], wrongType, "refused-alike", ["0 k"]),
        (["ZPOPMAX", "k", "2"], wrongType, "refused-alike", ["0 k"]),
        (["XSETID", "k", "5-5"], wrongType, "refused-alike", ["0 k"]),
        (["ZINCRBY", "k", "-inf", "a"], "ERR resulting score is not a number (NaN)", "refused-alike", ["0 k"]),
        (["ZADD", "k", "INCR", "-inf", "a"], "ERR resulting score is not a number (NaN)", "refused-alike", ["0 k"]),
        (["SORT", "k", "STORE", "d"], wrongType, "refused-alike", ["0 k", "0 d"]),
        (["EVAL", storeIfThere, "1", "k", "SORT", "k", "STORE", "d"], notNumbers, "refused-alike", ["0 k", "0 d"]),
        (
            ["EVAL", storeIfThere, "1", "k", "GEORADIUS", "k", "0", "0", "1", "km", "STORE", "d"], wrongType,
            "refused-alike", ["0 k", "0 d"]
        ),
        (["EVAL", "a script", "1", "k"], "WRONGTYPE FIELDEXPIRE of a string", "refused-alike", ["0 k"]),
        (["INCRBY", "k", "+5"], "ERR value is not an integer or out of range", "number-format", ["0 k"]),
        (["SETBIT", "k", "+5", "1"], "ERR bit offset is not an integer or out of range", "number-format", ["0 k"]),
        (["LPOP", "k", "+2"], "ERR value is out of range, must be positive", "number-format", ["0 k"]),
        (["ZINCRBY", "k", "1e400", "m"], "ERR value is not a valid float", "number-format", ["0 k"]),
        (["INCRBYFLOAT", "k", "inf"], "ERR increment would produce NaN or Infinity", "number-format", ["0 k"]),
        (["HINCRBYFLOAT", "k", "f", "inf"], "ERR value is NaN or Infinity", "number-format", ["0 k"]),
        (
            ["XGROUP", "SETID", "k", "g", "1-1", "FOO"],
            "ERR unknown subcommand or wrong number of arguments for 'SETID'. Try XGROUP HELP.", "number-format",
            ["0 k"]
        ),
        (["JSON.ARRPOP", "k", ".no"], "ERR Path '$.no' does not exist or not an array", "json-refused", ["0 k"]),
        (["JSON.SET", "k", "$", "{}"], "Existing key has wrong Redis type", "json-refused", ["0 k"]),
        (["XDEL", "k", "5 "], "ERR Invalid stream ID specified as stream command argument", "number-format", ["0 k"]),
    ]
    private static let storeIfThere = "if redis.call('EXISTS',KEYS[1])==1 then redis.call(unpack(ARGV)) end"

    private func stop(for command: [String], _ error: String, in scene: EncoderScene) -> ReplicationError? {
        let batch = CommandBatch()
        batch.append(command.map { Array($0.utf8) })
        let classifier = ReplyClassifier(scene.context, scene.encoder.reports, nil)
        return classifier.classify(.init(command: 0, kind: .error(error)), of: batch)
    }

    @Test(arguments: 0..<expected.count)
    func `is made, and the task goes on, after a refusal that is not the target's fault`(_ index: Int) {
        let (command, error, kind, keys) = Self.expected[index]
        let scene = EncoderScene(policy: { _ in }, context: { $0.refreshes = queue })
        #expect(scene.context.policy.onError == .stop)
        #expect(stop(for: command, error, in: scene) == nil)
        #expect(asked == keys)
        #expect(scene.letters == ["\(kind) \"k\""])
    }

    @Test func `is not made for other refusals, or if no key can be read: the task stops`() {
        let scene = EncoderScene(policy: { _ in }, context: { $0.refreshes = queue })
        #expect(stop(for: ["LPUSH", "k", "v"], Self.wrongType, in: scene)?.code == .policy)
        #expect(stop(for: ["EVAL", "a script", "1", "k"], Self.wrongType, in: scene)?.code == .policy)
        #expect(
            stop(for: ["INCRBY", "k", "1"], "ERR increment or decrement would overflow", in: scene)?.code == .policy)
        let blind = EncoderScene(policy: { _ in })
        #expect(
            stop(for: ["INCRBY", "k", "+5"], "ERR value is not an integer or out of range", in: blind)?.code == .policy)
        let store = ["EVAL", Self.storeIfThere, "1", "k", "SORT", "k", "STORE", "d"]
        #expect(
            stop(for: store, "ERR The user executing the script can't run this command or subcommand", in: scene)?
                .message
                .contains("add +sort to the user") == true)
    }

    @Test(
        arguments: [
            (
                ["EVAL", "redis.call('RENAME',KEYS[1],KEYS[2]) redis.call('PEXPIREAT',KEYS[2],at)", "2", "k", "d"],
                "ERR The user executing the script can't run this command or subcommand script: ab, on @user_script:1.",
                "what it lacks of +pexpireat +rename", ["0 k", "0 d"]
            ),
            (
                ["EVAL", "return redis.call('RENAME',KEYS[1],KEYS[2])", "2", "k", "d"],
                "ERR ACL failure in script: User app has no permissions to run the 'rename' command script: ab",
                "+rename",
                ["0 k", "0 d"]
            ),
            (
                ["EVAL", "return redis.call('GET','other')", "1", "k"],
                "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
                "~<pattern> of this key", ["0 k"]
            ),
            (
                ["INCR", "k"],
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: no permission to execute the command or subcommand",
                "+incr", ["0 k"]
            ),
            (["INCR", "k"], "NOPERM this user has no permissions to run the 'incr' command", "+incr", []),
        ] as [([String], String, String, Set<String>)])
    func `is made for keys of a transaction cut short by a missing right, which ends the task`(
        _ command: [String], _ error: String, _ rule: String, _ keys: Set<String>
    ) throws {
        let stopped = try #require(stop(for: command, error, in: scene))
        #expect(stopped.code == .target(.permission))
        #expect(stopped.message.contains(": add \(rule) to the user (\(error))"), "\(stopped)")
        #expect(asked == keys)
        #expect(scene.letters == [])
        // The queue ends with the process, so that a full sync has to follow.
        #expect((stopped.resumeBlocker == .noPosition) == !keys.isEmpty)
    }

    @Test func `is kept after a refusal at its key, and the task goes on`() {
        let scene = EncoderScene(policy: { _ in }, context: { $0.refreshes = queue })
        scene.encoder.reports.refresh(Array("k".utf8).span.bytes, database: 0)
        #expect(stop(for: ["LSET", "k", "0", "x"], "ERR no such key", in: scene) == nil)
        #expect(stop(for: ["RPUSH", "k", "x"], Self.wrongType, in: scene) == nil)
        #expect(scene.letters == ["stale-key \"k\""])
        #expect(stop(for: ["RPUSH", "other", "x"], Self.wrongType, in: scene)?.code == .policy)
        #expect(asked == ["0 k"])
    }

    @Test(arguments: 0..<replies.count) func `is made for the replies of the target that show a difference`(
        _ index: Int
    ) throws {
        let reply = Self.replies[index]
        let batch = CommandBatch()
        batch.append(reply.command.split(separator: " ").map { Array($0.utf8) })
        if reply.isEffective { batch.noteEffective() }
        batch.mayHaveBeenApplied = reply.isRepeated
        let classifier = ReplyClassifier(scene.context, scene.encoder.reports, nil)
        #expect(classifier.classify(.init(command: 0, kind: reply.kind), of: batch) == nil)
        #expect(asked == reply.keys)
    }
}
