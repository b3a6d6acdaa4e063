import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A target with the JSON module of Redis: documents of the source are kept equal as values of that module.
@Suite(.serialized, .enabled(if: RedisServer.jsonModule != nil, "REJSON_MODULE names no module"))
struct `A target with a JSON module` {
    private func server() throws -> RedisServer {
        try RedisServer(["--loadmodule", #require(RedisServer.jsonModule)])
    }

    private func document(_ key: String, in client: RESPClient) throws -> String? {
        try client.command("JSON.GET", key).text
    }

    @Test(arguments: ["foreign", "v1.40.1/foreign"]) func `keeps the documents of a recorded snapshot`(
        _ name: String
    ) throws {
        let replay = try recording(name).prepareReplay()
        let redis = try server()
        let master = try SimulatorProcess(["--replay", replay.folder.path])
        let daemon = try Daemon(
            .migrate,
            .init(source: master.port, target: redis.port, sections: ["policy": ["onUnsupported: skip"]]))
        defer {
            daemon.process.kill()
            redis.stop()
        }
        try daemon.expectExit(0)
        #expect(
            try document("json:doc", in: redis.client()) == #"{"a":[1,2,{"b":null}],"s":"text"}"#,
            "\(daemon.deadLetters)")
        #expect(!daemon.deadLetters.contains { $0.kind == "json" })
        #expect(master.stop() == [], "what the master saw")
    }

    @Test func `gets each command on a document applied once`() throws {
        let master = try startedMaster(shards: 1) { _ in }
        let redis = try server()
        let daemon = try Daemon(
            .replicate, .init(source: master.port, target: redis.port, sections: ["shutdown": ["drainSeconds: 0"]]))
        defer {
            daemon.process.kill()
            master.stop()
            redis.stop()
        }
        try daemon.wait(forLine: "stable:")
        let commands = [
            #"JSON.SET doc $ {"n":1,"a":[1],"b":true,"s":"x"}"#, "JSON.NUMINCRBY doc $.n 2",
            "JSON.ARRAPPEND doc $.a 2 3", "JSON.ARRPOP doc $.a 0", "JSON.TOGGLE doc $.b",
            #"JSON.STRAPPEND doc $.s "y""#, #"JSON.MERGE doc $ {"m":{"k":1}}"#, "JSON.SET gone $ 1", "JSON.DEL gone",
            "JSON.MSET one $ 1 two $ [2]", "JSON.SET low $ 1", "JSON.NUMINCRBY low $ -2",
            "JSON.SET timed $ 1", "PEXPIREAT timed 4102444800000", "JSON.SET timed $ 2", "SET after 1",
        ]
        for command in commands { master.send(journal: [JournalEntry(command)], flow: 0) }
        let client = try redis.client()
        try wait(until: "the last command is applied") { try client.command("GET", "after").text == "1" }
        let answer = try #require(try document("doc", in: client))
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: NSObject])
        let expected: [String: NSObject] = [
            "n": 3 as NSNumber, "a": [2, 3] as NSArray, "b": false as NSNumber, "s": "xy" as NSString,
            "m": ["k": 1] as NSDictionary,
        ]
        #expect(document == expected)
        #expect(try self.document("one", in: client) == "1")
        #expect(try self.document("two", in: client) == "[2]")
        #expect(try client.command("EXISTS", "gone") == .integer(0))
        #expect(try client.command("PTTL", "timed").int == -1)
        try daemon.leave()
        // Dragonfly keeps no whole number below zero.
        #expect(daemon.deadLetters.map(\.kind) == ["json-modules"])
        #expect(daemon.deadLetters.map(\.key) == ["low"])
        #expect(master.violations == [])
    }
}
