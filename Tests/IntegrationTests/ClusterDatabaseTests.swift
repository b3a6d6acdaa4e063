import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

extension RunAlone {
    /// A Valkey from 9 on whose clusters have several databases (`cluster-databases`).
    @Suite(.enabled(if: RedisServer.valkeyBinary != nil, "VALKEY_BIN names no Valkey")) struct `A cluster of Valkeys` {}
}

extension RunAlone.`A cluster of Valkeys` {
    private func scene(replicas: Int = 0, databases: Int = 16) throws -> ClusterScene {
        try ClusterScene(
            into: RedisCluster(
                replicas: replicas, ["--cluster-databases", "\(databases)"], binary: RedisServer.valkeyBinary),
            ["reconnect": ["initialMilliseconds: 50", "maxSeconds: 1"]])
    }

    @Test(.timeLimit(.minutes(5)))
    func `receives all databases in import mode despite kills, a failover and slots moved under load`()
        throws
    {
        let scene = try scene(replicas: 1)
        let seed = printedSeed()
        // A flush of another database than 0 leaves marks, which the next full sync removes.
        let writer = try RandomWriter(
            port: scene.master.port, connections: 2, databases: [0, 3], keys: 60, flushes: false, seed: seed)
        try wait(until: "there is something to sync") { writer.commandCount > 3000 }
        var daemon = try scene.start()
        try daemon.wait(forLine: "event=stable")
        #expect(daemon.logs("a cluster of 3 masters, 16 databases"))
        #expect(try scene.importModes() == ["yes"])
        writer.beginMovingKeys()
        let atStable = writer.commandCount
        try wait(until: "it follows for a while") { writer.commandCount > atStable + 5000 }
        daemon.process.kill()
        daemon = try scene.start()
        try daemon.wait(forLine: "resuming at the checkpoint")
        let masters = try scene.cluster.masters()
        try scene.cluster.moveSlots(0..<100, from: masters[0], to: masters[1])
        try scene.cluster.failOver(masters[2])
        try scene.cluster.settle()
        daemon.process.kill()
        daemon = try scene.start()
        let atEnd = writer.commandCount
        try wait(until: "it goes on") { writer.commandCount > atEnd + 3000 }
        try writer.stop()
        try scene.waitUntilEqual()
        #expect(try scene.keyCounts().keys.sorted() == [0, 3])
        #expect(try scene.importModes() == ["yes"])
        try scene.leave()
        #expect(try ServerComparison(source: scene.source, target: scene.cluster).isEqual)
        #expect(try scene.importModes() == ["no"])
        let readAtTheSource: Set = [
            "consumer-group-reads", "stored-scores", "claim-idle-times", "pending-entries", "ignored-comparison",
            "lex-order",
        ]
        #expect(daemon.deadLetters.allSatisfy { readAtTheSource.contains($0.kind) }, "\(daemon.deadLetters)")
        let remains = try scene.ownKeys()
        #expect(remains == ClusterScene.remains)
    }

    @Test func `supports flushes, the removal of old keys and values in pieces in every database`() throws {
        let scene = try scene()
        for database in [0, 3, 15] {
            for index in 0..<300 { scene.master.execute("SET key:\(index) v\(database)", database: database) }
        }
        let large = String(repeating: "x", count: 20 << 20)
        try scene.source.command("SELECT", "3")
        try scene.source.command("SET", "large", large)
        try scene.source.command("RPUSH", "list", "a", "b")
        var daemon = try scene.start()
        try daemon.wait(forLine: "event=stable")
        try scene.waitUntilEqual()
        try scene.source.command("SELECT", "3")
        try scene.source.command("APPEND", "grown", large)
        try scene.source.command("RENAME", "list", "renamed")
        try scene.source.command("COPY", "renamed", "copied")
        scene.master.execute("INCR key", database: 3)
        scene.master.execute("FLUSHDB", database: 15)
        scene.master.execute("INCR key", database: 15)
        try scene.waitUntilEqual()
        #expect(try scene.keyCounts()[15] == 1)

        // A later full sync removes what is gone, in each database.
        try daemon.leave(timeout: stopLimit)
        for database in [0, 3] {
            for index in 0..<50 { scene.master.execute("DEL key:\(index)", database: database) }
        }
        scene.master.forgetBacklog()
        daemon = try scene.start()
        try daemon.wait(forLine: "reconciled: 100 keys removed")
        try scene.waitUntilEqual()
        scene.master.execute("FLUSHALL")
        scene.master.execute("SET last v", database: 3)
        try scene.waitUntilEqual()
        #expect(try scene.keyCounts() == [3: 1])
        try daemon.leave(timeout: stopLimit)
    }

    @Test func `ends the task at a database that it lacks, unless the configuration skips that database`() throws {
        let scene = try scene(databases: 4)
        for database in [0, 2, 3, 7] { scene.master.execute("SET key v", database: database) }
        let stopped = try scene.start(sections: ["target": ["database: {2: skip}"]])
        try stopped.expectExit(65)
        #expect(stopped.logs("in database 7: the target has no such database"))
        let daemon = try scene.start(sections: ["target": ["database: {2: skip, 7: skip}"]])
        try daemon.wait(forLine: "event=stable")
        scene.master.execute("SET last v", database: 3)
        try wait(until: "the last one is there") { try scene.keyCounts()[3] == 2 }
        let counts = try scene.keyCounts()
        #expect(counts == [0: 1, 3: 2])
        try daemon.leave(timeout: stopLimit)
    }
}

extension ClusterScene {
    /// Of every node, replicas too.
    fileprivate func importModes() throws -> Set<String> {
        Set(
            try cluster.runningNodes.map {
                try $0.client().command("CONFIG", "GET", "import-mode").array?.last?.text ?? "none"
            })
    }

    fileprivate func keyCounts() throws -> [Int: Int] {
        try ServerData(reading: cluster).withoutCheckpoints.databases.mapValues(\.count)
    }
}
