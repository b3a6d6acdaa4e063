import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// What a flow writes into a real cluster. The source is a simulated master, or a real one where there is one.
@Suite(.serialized) struct `A cluster as target` {
    private func configuration(_ source: UInt16, _ cluster: RedisCluster) -> Daemon.Configuration {
        Daemon.Configuration(
            source: source, target: cluster.nodes[0].port,
            sections: ["target": ["type: cluster"], "policy": ["onUnsupported: skip"]])
    }

    private func isEqual(_ source: RESPClient, _ cluster: RedisCluster) throws {
        try waitUntilEqual { try ServerComparison(source: source, target: cluster).differences }
    }

    @Test func `a full sync and the writes after it bring every family, and a leave one key of our own`() throws {
        let master = try startedMaster()
        defer { master.stop() }
        let cluster = try RedisCluster(replicas: 0)
        defer { cluster.stop() }
        let writer = try RandomWriter(port: master.port, databases: [0], keys: 60, seed: printedSeed())
        try wait(until: "there are keys") { writer.commandCount > 5000 }
        let daemon = try Daemon(.replicate, configuration(master.port, cluster))
        try daemon.wait(forLine: "stable")
        let count = writer.commandCount
        try wait(until: "more is written") { writer.commandCount > count + 5000 }
        try writer.stop()
        try isEqual(RESPClient(port: master.port), cluster)
        try daemon.leave()
        try isEqual(RESPClient(port: master.port), cluster)
        let own = try ServerComparison(source: RESPClient(port: master.port), target: cluster).ownKeys
        #expect(
            own.map { String(decoding: $0, as: UTF8.self) }.sorted() == ["df2redis:checkpoint:lab", "df2redis:tasks"])
    }
}
