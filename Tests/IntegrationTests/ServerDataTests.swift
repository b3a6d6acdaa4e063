import Foundation
import Lab
import Testing

@Suite struct `Data sets of real servers` {
    /// Values of the scenario `types` that are digests in its `expected.json`: written by us, read from a real
    /// server, they must give the digests that Python gave.
    @Test func `values read from a server hash to the digests of a recording`() throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        func write(_ words: [String]) throws { _ = try client.command(words) }
        try write(["HSET", "hash:large"] + (0..<3000).flatMap { ["field:\($0)", "value:\($0)"] })
        try write(["SADD", "set:large"] + (0..<3000).map { "member:\($0)" })
        try write(["ZADD", "zset:large"] + (0..<3000).flatMap { ["\(Double($0) * 1.1)", "m:\($0)"] })
        try write(["SET", "str:rep", String(repeating: "a", count: 5000)])
        try write(["RPUSH", "list:ints"] + (0..<300).map { "\($0)" })
        try write(["PEXPIREAT", "list:ints", "2019686400000"])
        for index in 1..<250 {
            try write(["XADD", "stream:plain", "1526919030474-\(index)", "f", "\(index)", "g", "v\(index)"])
        }
        try write(["PEXPIREAT", "stream:plain", "2019686400000"])

        let written = Set(
            ["hash:large", "set:large", "zset:large", "str:rep", "list:ints", "stream:plain"].map { [UInt8]($0) })
        let expected = try recording("types").prepareReplay().expected
        let differences = try expected.differences(in: ServerData(reading: client))
        #expect(differences.filter { $0.database == 0 && written.contains($0.key) } == [])
        #expect(differences.count == expected.count - written.count, "what was not written is missing")
        #expect(differences.allSatisfy { if case .missing = $0.kind { true } else { false } })
    }

    @Test func `a copy is equal, and each kind of difference is found and named`() throws {
        let (one, two) = (try RedisServer(), try RedisServer())
        defer {
            one.stop()
            two.stop()
        }
        let clients = [try one.client(), try two.client()]
        for client in clients {
            for line in Self.sample.split(separator: "\n") {
                try client.command(line.split(separator: " ").map(String.init))
            }
        }
        let original = try ServerData(reading: clients[0])
        #expect(original.count == 9)
        #expect(original.databases[3]?.count == 1)
        #expect(original.differences(in: try ServerData(reading: clients[1])) == [])

        for line in Self.changes.split(separator: "\n") {
            try clients[1].command(line.split(separator: " ").map(String.init))
        }
        let differences = original.differences(in: try ServerData(reading: clients[1]))
        #expect(
            differences.map(\.description) == [
                #"db 0 "h": value: "f": "2", not "1""#,
                #"db 0 "l": value: 4 elements, not 3"#,
                #"db 0 "moved": missing (string)"#,
                #"db 0 "new": should not be there (string)"#,
                #"db 0 "s": is a list, not a string"#,
                #"db 0 "st": value: element 1: "c", not "b""#,
                #"db 0 "ttl": expires at 2019686400001, not 2019686400000"#,
                #"db 0 "x": value: "groups": element 0: "consumers": 1 elements, not 2"#,
                #"db 0 "z": value: element 0: element 1: "1.5", not "1.0""#,
            ])
        #expect(Difference.report(differences, limit: 1).hasSuffix("\nand 8 more"))
    }

    private static let sample = """
        SET s v
        RPUSH l a b c
        SADD st a b
        HSET h f 1
        ZADD z 1 a 2 b
        XADD x 1-1 f v
        XADD x 1-2 f v
        XGROUP CREATE x g 0
        XREADGROUP GROUP g alice COUNT 1 STREAMS x >
        XREADGROUP GROUP g bob COUNT 1 STREAMS x >
        SET ttl v PXAT 2019686400000
        SET moved v
        SELECT 3
        SET other v
        SELECT 0
        """

    private static let changes = """
        DEL s
        RPUSH s v
        RPUSH l d
        SREM st b
        SADD st c
        HSET h f 2
        ZADD z 1.5 a
        XGROUP DELCONSUMER x g bob
        SET ttl v PXAT 2019686400001
        DEL moved
        SET new v
        """

    @Test func `past deadlines of a recording are moved in its streams and its expected data`()
        throws
    {
        let replay = try recording("live-ops").prepareReplay()
        let now = Int(Date().timeIntervalSince1970 * 1000)
        #expect(replay.expected.deadlines.allSatisfy { $0 > now })
        let stream = try #require(FileManager.default.contents(atPath: replay.folder.file("flow-0.stable")))
        let original = try #require(FileManager.default.contents(atPath: "\(recordingsFolder)/live-ops/flow-0.stable"))
        #expect(stream.count == original.count)
        #expect(original.range(of: Data("PXAT\r1795495755726".utf8)) != nil)
        #expect(stream.range(of: Data("PXAT\r1795495755726".utf8)) == nil)
        #expect(stream.range(of: Data("PXAT\r2095495755726".utf8)) != nil)
    }

    @Test func `a file stored in parts is joined`() throws {
        let replay = try recording("big").prepareReplay()
        let flow = try #require(FileManager.default.contents(atPath: replay.folder.file("flow-1.full")))
        #expect(flow.count == 3_106_300)
        #expect(flow.prefix(9) == Data("REDIS0009".utf8))
    }

    @Test func `every recording can be loaded`() throws {
        let all = try RecordedRun.all(in: recordingsFolder)
        #expect(all.count == 19)
        for recording in all { #expect(try recording.prepareReplay().expected.count >= 0) }
    }
}
