import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// Several masters, a task each, and one target.
@Suite(.serialized) struct `Tasks that fill one target` {
    private final class Scene {
        let redis: RedisServer
        let client: RESPClient
        let masters: [SimulatedMaster]
        private let folders: [TemporaryFolder]
        private var daemons: [Daemon] = []

        init() throws {
            redis = try RedisServer()
            client = try redis.client()
            masters = try (0..<2).map { _ in try startedMaster() }
            folders = try (0..<2).map { try TemporaryFolder("task\($0)") }
        }

        deinit {
            for daemon in daemons { daemon.process.kill() }
            for master in masters { master.stop() }
            redis.stop()
        }

        func start(_ index: Int, _ sections: [String: [String]] = [:]) throws -> Daemon {
            let daemon = try Daemon(
                .replicate,
                .init(
                    source: masters[index].port, target: redis.port,
                    sections: sections.merging(["shutdown": ["drainSeconds: 0"]]) { $1 }),
                folder: folders[index], task: "task\(index)")
            daemons.append(daemon)
            return daemon
        }

        func fill(_ index: Int, database: Int = 0) {
            for number in 0..<200 { masters[index].execute("SET \(index):\(number) v", database: database) }
        }

        func count(_ index: Int, database: Int = 0) throws -> Int {
            try client.command("SELECT", "\(database)")
            defer { _ = try? client.command("SELECT", "0") }
            return try client.command("KEYS", "\(index):*").array?.count ?? 0
        }
    }

    @Test func `leave each other's keys untouched at a full sync, a restart and a FLUSHALL`() throws {
        let scene = try Scene()
        for index in 0...1 { scene.fill(index) }
        var first = try scene.start(0)
        try first.wait(forLine: "stable: following")
        let second = try scene.start(1)
        try second.wait(forLine: "stable: following")
        #expect(second.logs("the target is filled by other tasks too: df2redis:checkpoint:task0 (databases 0)"))
        #expect(try scene.count(0) == 200)
        #expect(try scene.count(1) == 200)

        // A later full sync, which alone in the target would remove what its source no longer has.
        try first.leave()
        scene.masters[0].execute("DEL 0:7")
        scene.masters[0].forgetBacklog()
        first = try scene.start(0)
        try first.wait(forLine: "nothing is removed in database 0, as another task fills it too")
        try first.wait(forLine: "stable: following")
        #expect(try scene.count(1) == 200)
        #expect(try scene.count(0) == 200, "which keys are old cannot be known")

        // A flush: what this session has brought goes.
        scene.masters[0].execute("FLUSHALL")
        try first.wait(forLine: "FLUSHALL applied")
        #expect(try scene.count(1) == 200)
        #expect(try scene.count(0) == 1, "what was there before this session stays")
        scene.masters[0].execute("SET 0:new v")
        try wait(until: "it follows") { try scene.count(0) == 2 }

        // A resumed session does not know which keys are its own.
        try first.leave()
        first = try scene.start(0)
        try first.wait(forLine: "resuming at the checkpoint")
        scene.masters[0].execute("FLUSHDB")
        try first.wait(forLine: "of the source has removed nothing in database 0 of the target")
        #expect(try scene.count(1) == 200)
        scene.masters[1].execute("SET 1:new v")
        try wait(until: "the other one goes on") { try scene.count(1) == 201 }
        for daemon in [first, second] { try daemon.leave() }
        #expect(second.log.components(separatedBy: "a full sync is needed").count == 1)
        #expect(scene.masters[1].fullSyncs == 1)
    }

    @Test func `may not both follow one source, unless one of them has ended`() throws {
        let scene = try Scene()
        scene.fill(0)
        let first = try scene.start(0)
        try first.wait(forLine: "stable: following")
        let folder = try TemporaryFolder("rival")
        func rival() throws -> Daemon {
            try Daemon(
                .replicate,
                .init(
                    source: scene.masters[0].port, target: scene.redis.port,
                    sections: ["shutdown": ["drainSeconds: 0"]]),
                folder: folder, task: "rival")
        }
        let refused = try rival()
        try refused.expectExit(75)
        #expect(refused.logs("follows the same source into this target already"))
        #expect(refused.logs("df2redis:checkpoint:task0"))
        func preflight() throws -> ChildProcess {
            let process = try ChildProcess(
                BuiltProgram.daemon.path, ["preflight", "--config", folder.file("rival.yaml")],
                output: folder.file("preflight"), error: folder.file("preflight.errors"))
            _ = try process.waitForEnd(timeout: .seconds(60))
            return process
        }
        let warned = try preflight()
        #expect(warned.end == .exited(65), "\(warned.output)\(warned.errorOutput)")
        #expect(warned.output.contains("follows the same source into this target already"), "\(warned.output)")
        scene.masters[0].execute("INCR counter")
        try wait(until: "it is applied") { try scene.client.command("GET", "counter").text != nil }
        try first.leave()
        let sound = try preflight()
        #expect(sound.end == .exited(0), "\(sound.output)\(sound.errorOutput)")
        let second = try rival()
        try second.wait(forLine: "stable: following")
        #expect(try scene.client.command("GET", "counter").text == "1")
        try second.leave()
        #expect(scene.masters[0].violations == [])
    }

    @Test func `may not both follow one source, even if they are started at the same time`() throws {
        let scene = try Scene()
        scene.fill(0)
        func start(_ task: String) throws -> Daemon {
            try Daemon(
                .replicate,
                .init(
                    source: scene.masters[0].port, target: scene.redis.port,
                    sections: ["shutdown": ["drainSeconds: 0"]]),
                task: task)
        }
        // The second time both have positions.
        for round in 1...2 {
            let daemons = try ["rival", "other"].map(start)
            defer { for daemon in daemons { daemon.process.kill() } }
            try wait(until: "one of them has ended") { daemons.contains { !$0.process.isRunning } }
            let (refused, other) = daemons[0].process.isRunning ? (daemons[1], daemons[0]) : (daemons[0], daemons[1])
            try refused.expectExit(75)
            #expect(refused.logs("follows the same source into this target already"))
            try other.wait(forLine: "event=stable")
            scene.masters[0].execute("INCR counter")
            try wait(until: "it is applied") { try scene.client.command("GET", "counter").text == "\(round)" }
            try other.leave()
            guard round == 1 else { break }
            // The other one gets a position as well.
            let next = try start(refused.task)
            defer { next.process.kill() }
            try next.wait(forLine: "event=stable")
            #expect(try scene.client.command("GET", "counter").text == "1")
            try next.leave()
        }
        #expect(scene.masters[0].violations == [])
    }

    @Test func `may both follow one source if each fills databases of its own`() throws {
        let scene = try Scene()
        for database in [0, 3] { scene.fill(0, database: database) }
        let daemons = try ["{0: 0, 3: skip}", "{0: skip, 3: 3}"].enumerated().map { index, databases in
            try Daemon(
                .replicate,
                .init(
                    source: scene.masters[0].port, target: scene.redis.port,
                    sections: [
                        "shutdown": ["drainSeconds: 0"], "target": ["database: \(databases)"],
                        "policy": ["onUnsupported: skip"],
                    ]), task: "part\(index)")
        }
        defer { for daemon in daemons { daemon.process.kill() } }
        for daemon in daemons { try daemon.wait(forLine: "stable: following") }
        for database in [0, 3] { scene.masters[0].execute("INCR counter", database: database) }
        for database in [0, 3] {
            try wait(until: "it is applied") {
                try scene.client.command("SELECT", "\(database)")
                return try scene.client.command("GET", "counter").text == "1"
            }
            #expect(try scene.count(0, database: database) == 200)
        }
        // Neither task names database 5.
        scene.masters[0].execute("INCR counter", database: 5)
        try wait(until: "one of them has ended") { daemons.contains { !$0.process.isRunning } }
        let (refused, other) = daemons[0].process.isRunning ? (daemons[1], daemons[0]) : (daemons[0], daemons[1])
        try refused.expectExit(75)
        #expect(refused.logs("follows the same source into this target already"))
        #expect(refused.logs("target.database"))
        try wait(until: "the other one goes on") {
            try scene.client.command("SELECT", "5")
            return try scene.client.command("GET", "counter").text == "1"
        }
        try other.leave()
        #expect(scene.masters[0].violations == [])
    }

    @Test func `with databases of their own do not affect each other`() throws {
        let scene = try Scene()
        scene.fill(0)
        scene.fill(1, database: 1)
        var first = try scene.start(0)
        try first.wait(forLine: "stable: following")
        let second = try scene.start(1)
        try second.wait(forLine: "stable: following")
        try first.leave()
        for number in 0..<50 { scene.masters[0].execute("DEL 0:\(number)") }
        scene.masters[0].forgetBacklog()
        first = try scene.start(0)
        try first.wait(forLine: "reconciled: 50 keys removed")
        #expect(try scene.count(1, database: 1) == 200)
        scene.masters[0].execute("FLUSHALL")
        try first.wait(forLine: "FLUSHALL applied")
        #expect(try scene.count(0) == 0)
        #expect(try scene.count(1, database: 1) == 200)
        #expect(try scene.client.command("HGET", "df2redis:checkpoint:task1", "databases").text == "1")
        scene.masters[1].execute("FLUSHALL")
        try second.wait(forLine: "FLUSHALL applied")
        #expect(try scene.count(1, database: 1) == 0)
        for daemon in [first, second] { try daemon.leave() }
        #expect(scene.masters.map(\.fullSyncs) == [2, 1])
    }

    @Test func `do not empty each other's databases with fullSync.existing: flush`() throws {
        let scene = try Scene()
        for index in 0...1 { scene.fill(index) }
        let first = try scene.start(0)
        try first.wait(forLine: "stable: following")
        let second = try scene.start(1, ["fullSync": ["existing: flush"]])
        try second.wait(forLine: "database 0 of the target is not emptied (fullSync.existing: flush)")
        try second.wait(forLine: "stable: following")
        #expect(try scene.count(0) == 200)
        #expect(try scene.count(1) == 200)
        for daemon in [first, second] { try daemon.leave() }
    }
}
