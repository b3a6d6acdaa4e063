import Foundation
import Lab
import Testing
import Wire

extension RunAlone {
    /// Two real masters under random writes, of two versions where `DRAGONFLY_OTHER_BIN` names a second one, a task each, and one
    /// target. The masters' keys have different names, so that the target can be compared with both key by key.
    @Suite(.enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
    struct `Two real Dragonflies and one target` {}
}

extension RunAlone.`Two real Dragonflies and one target` {
    enum Layout: String, CaseIterable, Sendable {
        /// Both masters write to both databases.
        case sharedDatabases
        /// Each to one of its own.
        case ownDatabases
        /// Both to the one database of a cluster.
        case cluster

        func databases(_ index: Int) -> [Int] {
            switch self {
            case .sharedDatabases: index == 0 ? [0, 3] : [3, 0]
            case .ownDatabases: index == 0 ? [0] : [3]
            case .cluster: [0]
            }
        }

        /// Only the session that has brought a task's keys knows which keys of a shared database are its own.
        var hasForeignKeys: Bool { self != .ownDatabases }
    }

    private final class Scene {
        let layout: Layout
        let masters: [DragonflyServer]
        let redis: RedisServer?
        let cluster: RedisCluster?
        private(set) var daemons: [Daemon] = []
        private let seed = printedSeed()
        private var writers = 0

        init(_ layout: Layout) throws {
            self.layout = layout
            masters = [
                try DragonflyServer(shards: 2), try DragonflyServer(shards: 2, binary: DragonflyServer.otherBinary),
            ]
            redis = layout == .cluster ? nil : try RedisServer()
            cluster = layout == .cluster ? try RedisCluster(replicas: 0) : nil
        }

        deinit {
            for daemon in daemons { daemon.process.kill() }
            redis?.stop()
            cluster?.stop()
            for master in masters { master.stop() }
        }

        static let prefixes = ["a/", "b/"]

        func start(_ index: Int) throws {
            let port = redis?.port ?? cluster?.nodes[0].port
            let daemon = try Daemon(
                .replicate,
                .init(
                    source: masters[index].port, target: port,
                    sections: [
                        "target": layout == .cluster ? ["type: cluster"] : [],
                        "shutdown": ["drainSeconds: 0"],
                        "reconnect": ["initialMilliseconds: 50", "maxSeconds: 1"],
                    ].filter { !$0.value.isEmpty }),
                folder: daemons.count > index ? daemons[index].folder : nil, task: "task\(index)")
            if daemons.count > index { daemons[index] = daemon } else { daemons.append(daemon) }
        }

        /// Writes to some masters, while `body` runs and then some.
        func write(_ indices: [Int], commands: Int = 8000, _ body: () throws -> Void = {}) throws {
            let writers = try indices.map { index in
                self.writers += 1
                return try RandomWriter(
                    port: masters[index].port, connections: 2, databases: layout.databases(index),
                    prefix: Self.prefixes[index], flushes: false, seed: seed &+ UInt64(100 * self.writers))
            }
            try body()
            let counts = writers.map(\.commandCount)
            try wait(until: "there is more to replicate") {
                zip(writers, counts).allSatisfy { $0.commandCount > $1 + commands }
            }
            for writer in writers { try writer.stop() }
        }

        func source(_ index: Int) throws -> ServerData { try ServerData(reading: masters[index].client()) }

        func target() throws -> ServerData {
            if let cluster { return try ServerData(reading: cluster).withoutCheckpoints }
            guard let redis else { throw LabError("there is no target") }
            return try ServerData(reading: redis.client()).withoutCheckpoints
        }

        /// At the target, about a key in database 0.
        func command(_ words: [String]) throws {
            if let cluster { try cluster.command(words, key: words[1]) } else { try redis?.client().command(words) }
        }

        /// The first task has applied so many flushes.
        func waitForFlush(_ count: Int) throws {
            try wait(until: "flush \(count) is applied") {
                daemons[0].logOfAllProcesses.components(separatedBy: "FLUSHALL applied").count > count
            }
        }

        /// Both leave, and the other one has never been disturbed.
        func finish() throws {
            try write([1], commands: 2000)
            try expectEqual(1)
            if !layout.hasForeignKeys { try expectUnion() }
            for daemon in daemons { try daemon.leave(timeout: stopLimit) }
            #expect(!daemons[1].log.contains("a full sync is needed"))
            #expect(daemons[1].timesStable == 1)
            try expectEqual(1)
        }

        /// The target has the keys of both masters, and no other one.
        func expectUnion() throws { try compare { try source(0).united(with: source(1)).differences(in: target()) } }

        /// What the target has of a master's keys is what the master has.
        func expectEqual(_ index: Int) throws {
            try compare {
                try source(index).differences(in: target().keys(beginningWith: Self.prefixes[index]))
            }
        }

        private func compare(_ differences: () throws -> [Difference]) throws {
            do { try waitUntilEqual(timeout: .seconds(60), differences) } catch {
                throw LabError(
                    "\(error)\n"
                        + daemons.map { $0.process.outputTail(lines: 25) }.joined(separator: "\n-- the other one:\n"))
            }
        }
    }

    @Test(arguments: Layout.allCases)
    func `keep their keys apart at a full sync, a kill and FLUSHALLs`(_ layout: Layout) throws {
        let scene = try Scene(layout)
        // The second full sync comes after the first one, while both masters are written to.
        try scene.write([0, 1]) {
            try scene.start(0)
            try scene.daemons[0].wait(forLine: "stable: following")
            try scene.start(1)
            try scene.daemons[1].wait(forLine: "stable: following")
        }
        try scene.expectUnion()
        #expect(scene.daemons[1].logs("the target is filled by other tasks too: df2redis:checkpoint:task0"))
        #expect(try scene.target().keys(beginningWith: "a/").count > 100)
        #expect(try scene.target().keys(beginningWith: "b/").count > 100)

        // The first task starts again with a full sync beside the other task, and knows which keys it has brought.
        try scene.daemons[0].leave(timeout: stopLimit)
        try scene.command(["DEL", "df2redis:checkpoint:task0"])
        try scene.start(0)
        try wait(until: "it follows again") { scene.daemons[0].timesStable == 2 }
        try scene.expectUnion()

        // A flush at its source; the other one is written to.
        try scene.write([1]) {
            try scene.masters[0].client().command("FLUSHALL")
            try scene.waitForFlush(1)
        }
        #expect(try scene.source(0).count == 0)
        try scene.expectUnion()
        try scene.write([0, 1])
        try scene.expectUnion()

        // The first task is killed under load.
        try scene.write([0, 1]) {
            scene.daemons[0].process.kill()
            try scene.start(0)
            try scene.daemons[0].wait(forLine: "resuming at the checkpoint")
        }
        try scene.expectUnion()

        // A flush in a resumed session, which does not know its keys.
        let before = try scene.target().keys(beginningWith: "a/")
        try scene.write([1]) {
            try scene.masters[0].client().command("FLUSHALL")
            try scene.waitForFlush(2)
        }
        guard layout.hasForeignKeys else { return try scene.finish() }
        let lost = before.differences(in: try scene.target().keys(beginningWith: "a/"))
        // Some have deadlines of a second or two, which come up now.
        #expect(lost.filter { !$0.key.starts(with: Array("a/e:".utf8)) } == [], "nothing is removed")
        try scene.daemons[0].wait(forLine: "a full sync is needed: old keys are left in database")
        try wait(until: "it follows again") { scene.daemons[0].timesStable == 3 }
        // What comes now does not build on what is left.
        try scene.write([0, 1])
        try scene.expectEqual(1)
        let (source, target) = (try scene.source(0), try scene.target().keys(beginningWith: "a/"))
        let differences = source.differences(in: target).filter { difference in
            if case .unexpected = difference.kind { false } else { true }
        }
        #expect(differences == [])
        // This session has begun with a full sync, and knows its keys.
        try scene.masters[0].client().command("FLUSHALL")
        try scene.waitForFlush(3)
        #expect(try scene.target().keys(beginningWith: "a/").count < target.count)
        try scene.finish()
    }
}

extension Daemon {
    fileprivate var timesStable: Int { logOfAllProcesses.components(separatedBy: "stable: following").count - 1 }
}
