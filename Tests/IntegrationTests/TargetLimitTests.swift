import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// Values that are larger than the target takes: `proto-max-bulk-len`, `client-query-buffer-limit`.
@Suite(.serialized) struct `A value over the target's limits` {
    /// Which setting forbids it, and whether the daemon can read that setting.
    struct Limit: CustomTestStringConvertible, Sendable {
        let setting: String
        let isReadable: Bool

        static let all = ["proto-max-bulk-len", "client-query-buffer-limit"].flatMap { setting in
            [true, false].map { Limit(setting: setting, isReadable: $0) }
        }

        var testDescription: String { "\(setting), CONFIG \(isReadable ? "allowed" : "forbidden")" }
    }

    private static let valueBytes = 3 << 20
    private static let big = String(repeating: "x", count: valueBytes)

    private final class Scene: TaskScene<RedisServer> {
        /// - Parameter before: is run before the daemon starts.
        init(
            _ limit: Limit?, _ onError: String = "skip", target: [String] = [], throughProxy: Bool = false,
            before: (SimulatedMaster) -> Void = { _ in }
        ) throws {
            let redis = try RedisServer((limit.map { ["--\($0.setting)", "1mb"] } ?? []) + target)
            try super.init(
                from: startedMaster(shards: 1), into: redis, through: throughProxy ? TCPProxy(to: redis.port) : nil,
                RedisScene.retryingSoon.merging(["policy": ["onError: \(onError)"]]) { $1 })
            if let limit, !limit.isReadable { try client.command("ACL", "SETUSER", "default", "-config") }
            before(master)
            try start()
        }

        /// The target's number for the connection of flow 0.
        func flowClientID() throws -> String? {
            (try redis.client().command("CLIENT", "LIST").text ?? "").split(separator: "\n")
                .first { $0.contains(" name=df2redis:lab:flow-0 ") }
                .map { String($0.dropFirst(3).prefix { $0 != " " }) }
        }
    }

    @Test(arguments: Limit.all) func `is left out of the stream and reported, and the older value is removed`(
        _ limit: Limit
    ) throws {
        let scene = try Scene(limit)
        try scene.daemon.wait(forLine: "stable: following")
        scene.master.execute("SET big old")
        try wait(until: "the old value is there") { try scene.get("big") == "old" }
        // The commands around it in its batch are applied once.
        scene.redis.pause()
        for _ in 0..<40 { scene.master.execute("INCR n") }
        scene.master.execute("SET big \(Self.big)")
        for _ in 0..<40 { scene.master.execute("INCR n") }
        scene.master.execute("SET after 1")
        scene.redis.resume()
        try wait(until: "what follows is applied") { try scene.get("after") == "1" }
        #expect(try scene.get("n") == "80")
        #expect(try scene.get("big") == nil, "no older value is served")
        #expect(scene.daemon.deadLetters == [DeadLetter(kind: "over-limit", database: 0, key: "big")])
        // What the log says may come after the data.
        try scene.daemon.wait(forLine: "SET \"big\" in database 0 not replicated: ")
        #expect(scene.daemon.count(of: "SET \"big\" in database 0 not replicated: ") == 1)
        try scene.daemon.wait(forLine: limit.setting)
        if limit.isReadable {
            try scene.daemon.wait(forLine: "\(limit.setting) of 1048576 bytes")
            #expect(scene.daemon.count(of: "targetLost") == 0, "it is not even sent")
        } else {
            try scene.daemon.wait(forLine: "the target is back")
            #expect(scene.daemon.count(of: "targetLost") == 1)
            #expect(scene.daemon.count(of: "the target is back") == 1)
            #expect(
                scene.daemon.count(of: "Protocol error: invalid bulk length") > 0
                    || limit.setting != "proto-max-bulk-len")
            // A limit that has been found out is not tried again.
            scene.master.execute("SET other \(Self.big)")
            scene.master.execute("SET after 2")
            try wait(until: "what follows is applied") { try scene.get("after") == "2" }
            #expect(scene.daemon.count(of: "targetLost") == 1)
            #expect(scene.daemon.deadLetters.map(\.key) == ["big", "other"])
        }
        // A value that fits replaces it again.
        scene.master.execute("SET big small")
        try wait(until: "the small value is there") { try scene.get("big") == "small" }
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test(arguments: Limit.all) func `stops the task by default, after the earlier commands are applied`(
        _ limit: Limit
    ) throws {
        let scene = try Scene(limit, "stop")
        try scene.daemon.wait(forLine: "stable: following")
        scene.master.execute("SET big old")
        for _ in 0..<40 { scene.master.execute("INCR n") }
        scene.master.execute("SET big \(Self.big)")
        scene.master.execute("SET after 1")
        try scene.daemon.expectExit(65)
        #expect(scene.daemon.logs("SET \"big\" in database 0: "))
        #expect(scene.daemon.log.contains("\(Self.valueBytes)") || limit.setting != "proto-max-bulk-len")
        #expect(scene.daemon.logs("policy.onError: stop"))
        #expect(try scene.get("n") == "40")
        #expect(try scene.get("big") == "old")
        #expect(try scene.get("after") == nil)
        #expect(!scene.daemon.log.contains("xxxx"), "values never appear")
    }

    @Test(arguments: Limit.all) func `is left out of a full sync`(_ limit: Limit) throws {
        let scene = try Scene(limit) { master in
            for number in 0..<200 { master.execute("SET k:\(number) \(number)") }
            master.execute("SET big \(Self.big)")
            master.execute("HSET hash small 1 large \(Self.big)")
            master.execute("RPUSH list a \(Self.big) b")
            for number in 200..<400 { master.execute("SET k:\(number) \(number)") }
        }
        try scene.daemon.wait(forLine: "stable: following", timeout: .seconds(90))
        try wait(until: "all the others are there") { try scene.client.command("KEYS", "k:*").array?.count == 400 }
        #expect(
            Set(scene.daemon.deadLetters)
                == Set(["big", "hash", "list"].map { DeadLetter(kind: "over-limit", database: 0, key: $0) }))
        if limit.isReadable { #expect(scene.master.fullSyncs == 1) }
        scene.master.execute("SET after 1")
        try wait(until: "it is followed") { try scene.get("after") == "1" }
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `stops a full sync by default, and its key is logged`() throws {
        let scene = try Scene(Limit.all[0], "stop") { $0.execute("SET big \(Self.big)") }
        try scene.daemon.expectExit(65)
        #expect(scene.daemon.logs("string \"big\" in database 0: an argument of \(Self.valueBytes) bytes"))
    }

    @Test(arguments: [true, false]) func `is reported for every command that may carry it`(_ isReadable: Bool) throws {
        let scene = try Scene(Limit(setting: "proto-max-bulk-len", isReadable: isReadable))
        try scene.daemon.wait(forLine: "stable: following")
        for line in ["SET text a", "HSET hash f old g kept", "RPUSH list a", "SET value old", "MSET one old two old"] {
            scene.master.execute(line)
        }
        scene.master.execute("APPEND text \(Self.big)")
        scene.master.execute("HSET hash f \(Self.big)")
        scene.master.execute("RPUSH list \(Self.big)")
        scene.master.execute("MSET one \(Self.big) two new")
        scene.master.execute("SET source \(Self.big)")
        // Comes as a RESTORE.
        scene.master.execute("COPY source value REPLACE")
        scene.master.execute("SET after 1")
        try wait(until: "what follows is applied") { try scene.get("after") == "1" }
        #expect(scene.daemon.deadLetters.map(\.key) == ["text", "hash", "list", "one", "source", "value"])
        #expect(try scene.get("text") == "a")
        #expect(try scene.client.command("HGETALL", "hash").array?.map(\.text) == ["g", "kept"])
        #expect(try scene.client.command("LRANGE", "list", "0", "-1").array?.map(\.text) == ["a"])
        #expect(try scene.get("one") == nil)
        #expect(try scene.get("value") == nil)
        if isReadable { #expect(try scene.get("two") == "new") }
        try scene.daemon.leave()
    }

    @Test(arguments: [(900_000, 8), (3_000_000, 3)])
    func `is not suspected if the network breaks connections repeatedly`(_ bytes: Int, _ times: Int) throws {
        let scene = try Scene(nil, throughProxy: true)
        let proxy = try #require(scene.proxy)
        try scene.daemon.wait(forLine: "stable: following")
        proxy.breakConnections(carrying: 100_000, times: times)
        scene.master.execute("APPEND text \(String(repeating: "z", count: bytes))")
        scene.master.execute("INCR n")
        try wait(until: "it is applied") { try scene.get("n") == "1" }
        #expect(proxy.breaksLeft == 0)
        #expect(try scene.client.command("STRLEN", "text").int == Int64(bytes))
        #expect(scene.daemon.deadLetters == [])
        try scene.daemon.wait(forLine: "targetLost")
        #expect(scene.daemon.count(of: "targetLost") == 1, "it is lost as long as nothing gets through")
        try scene.daemon.leave()
    }

    @Test func `is not suspected in a batch that is large only as a whole`() throws {
        let scene = try Scene(Limit(setting: "client-query-buffer-limit", isReadable: true))
        try scene.daemon.wait(forLine: "stable: following")
        let value = String(repeating: "y", count: 700_000)
        scene.redis.pause()
        for number in 0..<8 {
            scene.master.execute("INCR n")
            scene.master.execute("SET large:\(number) \(value)")
        }
        scene.redis.resume()
        try waitUntilEqual(RESPClient(port: scene.master.port), scene.redis.client())
        #expect(try scene.get("n") == "8")
        #expect(scene.daemon.deadLetters == [])
        #expect(scene.daemon.count(of: "targetLost") == 0)
        try scene.daemon.leave()
    }

    @Test func `differs from one that just fits by itself, which a full sync brings`() throws {
        let value = String(repeating: "y", count: (1 << 20) - (64 << 10))
        let scene = try Scene(Limit(setting: "client-query-buffer-limit", isReadable: true)) { master in
            for number in 0..<2000 { master.execute("SET k:\(number) \(String(repeating: "k", count: 400))") }
            for number in 0..<20 { master.execute("SET large:\(number) \(value)") }
        }
        try scene.daemon.wait(forLine: "stable: following")
        try waitUntilEqual(RESPClient(port: scene.master.port), scene.redis.client())
        #expect(scene.daemon.deadLetters == [])
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }

    @Test func `is not suspected, and no loss is logged, if the target closes idle connections`() throws {
        let scene = try Scene(nil, target: ["--timeout", "1"])
        try scene.daemon.wait(forLine: "stable: following")
        scene.master.execute("INCR n")
        try wait(until: "it is followed") { try scene.redis.client().command("GET", "n").text == "1" }
        for round in 2...4 {
            let id = try scene.flowClientID()
            try wait(until: "the target has closed the flow's connection, and there is another") {
                let now = try scene.redis.client().command("CLIENT", "LIST").text ?? ""
                return now.contains(" name=df2redis:lab:flow-0 ") && !now.contains("id=\(id ?? "none") ")
            }
            scene.master.execute("INCR n")
            try wait(until: "it is followed") { try scene.redis.client().command("GET", "n").text == "\(round)" }
        }
        #expect(scene.daemon.count(of: "targetLost") == 0)
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }
}
