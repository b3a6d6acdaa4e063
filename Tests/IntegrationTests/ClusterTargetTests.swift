import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

extension RunAlone {
    /// What a flow writes into a real cluster. The source is a simulated master, or a real one where there is one.
    @Suite struct `A cluster as target` {}
}

extension RunAlone.`A cluster as target` {
    private func configuration(_ source: UInt16, _ cluster: RedisCluster) -> Daemon.Configuration {
        Daemon.Configuration(
            source: source, target: cluster.nodes[0].port,
            sections: ["target": ["type: cluster"], "policy": ["onUnsupported: skip"]])
    }

    private func isEqual(_ source: RESPClient, _ cluster: RedisCluster) throws {
        try waitUntilEqual { try ServerComparison(source: source, target: cluster).differences }
    }

    @Test func `gets values of every type by a full sync and later writes, and keeps two own keys after a leave`()
        throws
    {
        let master = try startedMaster()
        defer { master.stop() }
        let cluster = try RedisCluster(replicas: 0)
        defer { cluster.stop() }
        let writer = try RandomWriter(port: master.port, databases: [0], keys: 60, seed: printedSeed())
        try wait(until: "there are keys") { writer.commandCount > 5000 }
        let daemon = try Daemon(.replicate, configuration(master.port, cluster))
        try daemon.wait(forLine: "stable:")
        let count = writer.commandCount
        try wait(until: "more is written") { writer.commandCount > count + 5000 }
        try writer.stop()
        try isEqual(RESPClient(port: master.port), cluster)
        try daemon.leave()
        try isEqual(RESPClient(port: master.port), cluster)
        let own = try ServerComparison(source: RESPClient(port: master.port), target: cluster)
            .ownKeysBesidesNodeMarks
        #expect(own == ["df2redis:checkpoint:lab", "df2redis:tasks"])
    }

    @Test func `has elements expire with their TTLs, whatever slots their keys are in`() throws {
        let master = try startedMaster(shards: 1)
        defer { master.stop() }
        let cluster = try RedisCluster(replicas: 0)
        defer { cluster.stop() }
        func send(_ lines: [String]) { master.send(journal: lines.map { JournalEntry($0, database: 0) }, flow: 0) }
        func members(_ key: String) throws -> [String] {
            (try cluster.command(["SMEMBERS", key], key: key).array ?? []).compactMap(\.text).sorted()
        }
        let folder = try TemporaryFolder("cluster-elements")
        let killed = try Daemon(.replicate, configuration(master.port, cluster), folder: folder)
        try killed.wait(forLine: "stable:")
        send(
            (0..<40).flatMap {
                ["SADDEX s:\($0) 4 a b", "SADD s:\($0) c", "HSETEX h:\($0) 4 f 1 g 2", "HSET h:\($0) i 3"]
            })
        // To another slot, and over a key that has TTLs of its own.
        send(["RENAME s:1 elsewhere", "RENAME s:2 s:3", "SADD plain z", "RENAME plain s:4", "DEL s:5", "SET mark 1"])
        try wait(until: "it is applied") { try cluster.command(["GET", "mark"], key: "mark").text == "1" }
        #expect(try members("elsewhere") == ["a", "b", "c"])
        killed.process.kill()
        let daemon = try Daemon(.replicate, configuration(master.port, cluster), folder: folder)
        try wait(until: "all are gone", timeout: .seconds(30)) {
            try (6..<40).allSatisfy {
                try members("s:\($0)") == ["c"]
                    && cluster.command(["HLEN", "h:\($0)"], key: "h:\($0)").int == 1
            } && members("elsewhere") == ["c"] && members("s:3") == ["c"] && members("s:4") == ["z"]
        }
        func left() throws -> [String] {
            try ServerData(reading: cluster).databases.values.flatMap(\.keys).map {
                String(decoding: $0, as: UTF8.self)
            }
            .filter { $0.contains("df2redis:ttl") }
        }
        try wait(until: "nothing of ours is left") { try left().isEmpty }
        try daemon.leave()
        #expect(daemon.deadLetters.isEmpty)
    }
}
