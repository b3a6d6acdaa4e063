import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// Somebody empties one database of the target, and the stream continues: commands would build on missing values.
@Suite(.serialized) struct `A database of the target that somebody empties` {
    /// A task that has filled three databases and follows.
    private final class Scene: TaskScene<RedisServer> {
        static let counters = 100

        init(store: String = "target") throws {
            try super.init(
                from: startedMaster(), into: RedisServer(),
                RedisScene.retryingSoon.merging(["checkpoint": ["store: \(store)", "intervalSeconds: 1"]]) { $1 })
            for database in [0, 3, 5] {
                for index in 0..<Self.counters { master.execute("INCRBY c:\(index) 1000", database: database) }
            }
            try follow()
        }

        /// Creates every counter again at once, with a wrong value that nothing would correct.
        func count(in database: Int) {
            for index in 0..<Self.counters { master.execute("INCR c:\(index)", database: database) }
        }

        func mark(of database: Int) throws -> String? {
            try client.command("SELECT", "\(database)")
            return try client.command("GET", "df2redis:database:lab").text
        }

        func expectFullSync(because reason: String) throws {
            try daemon.wait(forLine: "a full sync is needed: \(reason)")
            try waitUntilEqual()
            try wait(until: "the full sync is complete") { daemon.count(of: "full sync done") > 1 }
            #expect(master.fullSyncs == 2)
            try daemon.leave()
            #expect(master.violations == [])
        }
    }

    @Test(arguments: [("target", 3), ("file", 3), ("file", 0)])
    func `is refilled by a full sync, however soon it has keys again`(_ store: String, _ database: Int) throws {
        let scene = try Scene(store: store)
        try scene.client.command("SELECT", "\(database)")
        try scene.client.command("FLUSHDB")
        scene.count(in: database)
        try scene.expectFullSync(because: "database \(database) of the target was emptied")
    }

    @Test func `is refilled after a SWAPDB`() throws {
        let scene = try Scene()
        try scene.client.command("SWAPDB", "3", "5")
        scene.count(in: 3)
        try scene.expectFullSync(because: "database 3, 5 of the target was emptied, or exchanged for another")
    }

    @Test(arguments: [false, true]) func `is refilled after a SWAPDB of database 0, without keys of the other database`(
        wasKilled: Bool
    ) throws {
        let scene = try Scene()
        for database in [0, 3] { scene.master.execute("SET only:\(database) v", database: database) }
        try waitUntilEqual(RESPClient(port: scene.master.port), scene.redis.client())
        if wasKilled { scene.daemon.process.kill() }
        try scene.client.command("SWAPDB", "0", "3")
        if wasKilled { try scene.start() }
        try scene.daemon.wait(forLine: "a full sync is needed: the target no longer holds this task's checkpoint")
        try scene.daemon.wait(forLine: "removed that the source does not have")
        try waitUntilEqual(RESPClient(port: scene.master.port), scene.redis.client())
        try scene.daemon.leave()
    }

    @Test(arguments: [false, true]) func `keeps no stale key that was written between FLUSHALL and the full sync`(
        wasKilled: Bool
    ) throws {
        let scene = try Scene()
        try scene.client.command("FLUSHALL")
        scene.master.execute("SET between v")
        try wait(until: "the stream has written to the empty target") {
            try scene.client.command("EXISTS", "between").int == 1
        }
        if wasKilled {
            scene.daemon.process.kill()
        } else {
            scene.master.refuse(Refusal.loading(times: 6))
            try scene.daemon.wait(forLine: "event=left")
        }
        scene.master.execute("DEL between")
        if wasKilled { try scene.start() }
        try scene.daemon.wait(forLine: "full sync done")
        try waitUntilEqual(RESPClient(port: scene.master.port), scene.redis.client())
        try scene.daemon.leave()
    }

    @Test(arguments: ["target", "file"]) func `is refilled by the next start if the task was stopped meanwhile`(
        _ store: String
    ) throws {
        let scene = try Scene(store: store)
        try scene.daemon.leave()
        try scene.client.command("SELECT", "3")
        try scene.client.command("FLUSHDB")
        scene.count(in: 3)
        try scene.start()
        try scene.daemon.wait(forLine: "a full sync is needed: database 3 of the target was emptied")
        try scene.waitUntilEqual()
        try scene.daemon.leave()
    }

    @Test(arguments: ["target", "file"]) func `causes no full sync if the source's own flush has emptied it`(
        _ store: String
    ) throws {
        let scene = try Scene(store: store)
        for command in ["FLUSHDB", "FLUSHALL"] {
            for index in 0..<Scene.counters { scene.master.execute("DEL c:\(index)", database: 5) }
            scene.master.execute(command, database: 3)
            scene.master.execute("INCR n", database: 3)
            try scene.daemon.wait(forLine: command == "FLUSHALL" ? "FLUSHALL applied" : "FLUSHDB (database 3) applied")
            try scene.waitUntilEqual()
            for database in [3, 5] { #expect(try scene.mark(of: database) == "\(database)", "\(command)") }
        }
        // A new process checks the marks at once.
        try scene.daemon.leave()
        try scene.start()
        try scene.daemon.wait(forLine: "resuming at the checkpoint")
        scene.master.execute("INCR n", database: 3)
        try scene.waitUntilEqual()
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }

    @Test(arguments: [("target", "FLUSHALL"), ("target", "FLUSHDB"), ("file", "FLUSHALL")], [false, true])
    func `is refilled by another full sync if it was emptied during one`(
        _ how: (store: String, command: String), isSecond: Bool
    ) throws {
        let scene = try RedisScene([
            "checkpoint": ["store: \(how.store)"], "reconnect": ["initialMilliseconds: 20"],
        ])
        let (master, client) = (scene.master, try scene.client)
        for index in 0..<5000 { master.execute("SET k:\(index) \(index)") }
        if isSecond {
            try scene.follow().leave()
            // The new value shows the progress of the next full sync.
            for index in 0..<5000 { master.execute("SET k:\(index) new") }
            master.forgetBacklog()
        }
        master.setFaults(.cutting(.stall, afterBytes: 20_000), on: .flow(0))
        let daemon = try scene.start()
        try daemon.wait(forLine: "full sync begins")
        try wait(until: "it has brought keys") {
            for index in stride(from: 0, to: 5000, by: 50) {
                if try client.command("GET", "k:\(index)").text == (isSecond ? "new" : "\(index)") { return true }
            }
            return false
        }
        try client.command(how.command)
        master.resume(.flow(0))
        try daemon.wait(forLine: "a full sync is needed: database 0 of the target was emptied")
        try scene.waitUntilEqual()
        try daemon.leave()
    }

    @Test func `gets its mark if an earlier version has filled it`() throws {
        let scene = try Scene()
        try scene.daemon.leave()
        try scene.client.command("HDEL", "df2redis:checkpoint:lab", "marked:0", "marked:3", "marked:5")
        for database in [3, 5] {
            #expect(try scene.mark(of: database) == "\(database)")
            try scene.client.command("DEL", "df2redis:database:lab")
        }
        try scene.start()
        try wait(until: "they are marked") { try scene.mark(of: 3) == "3" && scene.mark(of: 5) == "5" }
        try scene.client.command("SELECT", "0")
        for database in [0, 3, 5] {
            #expect(try scene.client.command("HGET", "df2redis:checkpoint:lab", "marked:\(database)").text == "1")
        }
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }
}
