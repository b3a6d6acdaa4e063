import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A target that goes away, refuses, or comes back as another.
@Suite(.serialized) struct `A target that is lost` {
    /// A task that follows into a server that keeps its data over a restart.
    private final class Scene: TaskScene<RedisServer> {
        init(
            shards: Int = 1, target: [String] = [], throughProxy: Bool = false, _ sections: [String: [String]] = [:]
        ) throws {
            let redis = try RedisServer(
                ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "local"] + target)
            try super.init(
                from: startedMaster(shards: shards), into: redis,
                through: throughProxy ? TCPProxy(to: redis.port) : nil,
                RedisScene.retryingSoon.merging(sections) { $0 + $1 })
            try follow()
        }

        func breakConnection(ofFlow flow: Int) throws {
            for line in (try client.command("CLIENT", "LIST").text ?? "").split(separator: "\n")
            where line.contains(" name=df2redis:lab:flow-\(flow) ") {
                // It may have gone meanwhile.
                let id = line.dropFirst(3).prefix { $0 != " " }
                _ = try client.send(["CLIENT", "KILL", "ID", String(id)].map { [UInt8]($0) })
            }
        }
    }

    @Test func `a batch still on its way when the daemon is killed is not applied after the next start`() throws {
        let scene = try Scene(throughProxy: true)
        let proxy = try #require(scene.proxy)
        for round in 1...3 {
            proxy.holdBack()
            // The proxy holds the batch back on its way to the target.
            scene.master.execute("INCR n")
            try wait(until: "the batch has left the daemon") { proxy.heldBytes > 0 }
            scene.daemon.process.kill()
            try scene.start()
            // The new process starts at the stored checkpoint, and sends the record again.
            try wait(until: "the record is applied") { try scene.get("n") == "\(round)" }
            proxy.release()
            scene.master.execute("SET mark \(round)")
            try wait(until: "the next record is applied") { try scene.get("mark") == "\(round)" }
            #expect(try scene.get("n") == "\(round)")
        }
        try scene.waitUntilEqual()
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }

    // MARK: States that pass

    /// What makes the target refuse writes, and what ends that.
    enum State: String, CaseIterable {
        case readOnly = "READONLY"
        case outOfMemory = "OOM"
        case cannotSave = "MISCONF"
        case busy = "BUSY"
        case lacksReplicas = "NOREPLICAS"
        case loading = "LOADING"
    }

    @Test(arguments: State.allCases) func `a temporary refusal of writes is waited out without losing a record`(
        _ state: State
    ) throws {
        let scene = try Scene(
            shards: 2, target: ["--maxmemory-policy", "noeviction", "--busy-reply-threshold", "50"])
        let client = try scene.client
        for index in 0..<50 { scene.master.execute("INCR n:\(index)") }
        try scene.waitUntilEqual()
        let dump = scene.redis.folder.file("dump.rdb")
        var worker: WaitingThread?
        switch state {
        case .readOnly: try client.command("REPLICAOF", "127.0.0.1", "1")
        case .outOfMemory: try client.command("CONFIG", "SET", "maxmemory", "1")
        case .cannotSave:
            // A folder where the file should be: the save fails, and with it every write.
            try client.command("CONFIG", "SET", "save", "3600 1000000")
            try FileManager.default.createDirectory(atPath: dump, withIntermediateDirectories: false)
            try client.command("BGSAVE")
            try wait(until: "the save has failed") {
                try client.info("persistence", "rdb_last_bgsave_status") == "err"
            }
        case .busy: worker = WaitingThread(try scene.redis.client(), ["EVAL", "while true do end", "0"])
        case .lacksReplicas: try client.command("CONFIG", "SET", "min-replicas-to-write", "1")
        case .loading:
            // While loading, the target serves its clients once in 1,024 commands.
            for _ in 0..<8000 { scene.master.execute("INCR fill") }
            try scene.waitUntilEqual()
            try client.command("CONFIG", "SET", "key-load-delay", "300")
            worker = WaitingThread(try scene.redis.client(), ["DEBUG", "LOADAOF"])
        }
        worker?.start()
        if worker != nil {
            try wait(until: "it is in that state") {
                try client.send([[UInt8]("GET"), [UInt8]("n:0")]).errorText?.hasPrefix(state.rawValue) == true
            }
        }
        for index in 0..<50 { scene.master.execute("INCR n:\(index)") }
        try scene.daemon.wait(forLine: state == .busy ? "BUSY " : "the target refuses writes: ")
        #expect(scene.daemon.logs(state.rawValue))
        // While it lasts, a connection breaks as well.
        if state != .busy { try scene.breakConnection(ofFlow: 0) }
        for index in 0..<50 { scene.master.execute("INCR n:\(index)") }
        switch state {
        case .readOnly: try client.command("REPLICAOF", "NO", "ONE")
        case .outOfMemory: try client.command("CONFIG", "SET", "maxmemory", "0")
        case .cannotSave:
            try FileManager.default.removeItem(atPath: dump)
            try client.command("BGSAVE")
        case .busy:
            try client.command("SCRIPT", "KILL")
            try wait(until: "the script has ended") { worker?.hasEnded == true }
        case .lacksReplicas: try client.command("CONFIG", "SET", "min-replicas-to-write", "0")
        case .loading: try client.command("CONFIG", "SET", "key-load-delay", "0")
        }
        try scene.waitUntilEqual()
        #expect(try scene.get("n:7") == "3")
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `a target that is away for long is waited for while the source is still read`() throws {
        let scene = try Scene()
        scene.redis.kill()
        for _ in 0..<500 {
            scene.master.execute("INCR n")
            usleep(4000)
        }
        try scene.daemon.wait(forLine: "targetLost")
        #expect(scene.master.sessionStates == ["online"], "the source keeps its replica")
        try scene.redis.restart()
        try scene.waitUntilEqual()
        #expect(try scene.get("n") == "500")
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }

    // MARK: Another server

    @Test(arguments: ["stop", "skip"])
    func `a target that comes back with fewer databases gets nothing into the wrong one`(policy: String) throws {
        let scene = try Scene(["policy": ["onUnsupported: \(policy)", "onError: skip"]])
        scene.master.execute("SET k zero")
        try scene.waitUntilEqual()
        try scene.redis.restart(["--databases", "5"])
        scene.master.execute("SET k nine", database: 9)
        scene.master.execute("RPUSH list nine", database: 9)
        if policy == "stop" {
            try scene.daemon.expectExit(65)
            #expect(scene.daemon.logs("in database 9: the target has no such database"))
        } else {
            scene.master.execute("SET last zero")
            try wait(until: "what comes after it is there") { try scene.get("last") == "zero" }
            #expect(scene.daemon.logs("has not the 16 databases that the session began with"))
            #expect(scene.master.fullSyncs == 1)
        }
        #expect(try scene.get("k") == "zero")
        #expect(try scene.redis.client().command("EXISTS", "list").int == 0)
    }

    @Test func `a target that comes back empty is synced in full, and the log says why`() throws {
        let scene = try Scene(shards: 2)
        for index in 0..<200 { scene.master.execute("SET k:\(index) \(index)") }
        try scene.waitUntilEqual()
        scene.redis.kill()
        for name in try FileManager.default.contentsOfDirectory(atPath: scene.redis.folder.path)
        where name.contains("appendonly") {
            try FileManager.default.removeItem(atPath: scene.redis.folder.file(name))
        }
        try scene.redis.restart()
        try scene.waitUntilEqual()
        #expect(scene.daemon.logs("the target came back with other data: its checkpoint is gone"))
        #expect(
            scene.daemon.log.contains("a full sync is needed: the target no longer holds this task's checkpoint"))
        #expect(scene.master.fullSyncs == 2)
        try scene.daemon.leave()
    }

    @Test func `a target that is emptied is noticed without a broken connection, and synced in full`() throws {
        let scene = try Scene(shards: 2)
        for index in 0..<200 { scene.master.execute("SET k:\(index) \(index)") }
        try scene.waitUntilEqual()
        try scene.client.command("FLUSHALL")
        // Flows that write on put their positions there again.
        for index in 0..<20 { scene.master.execute("SET later:\(index) v") }
        try scene.waitUntilEqual()
        #expect(
            scene.daemon.log.contains("a full sync is needed: the target no longer holds this task's checkpoint"))
        try scene.daemon.leave()
    }

    @Test func `a start makes a full sync if the target was emptied meanwhile`() throws {
        let scene = try Scene(shards: 2)
        for index in 0..<200 { scene.master.execute("SET k:\(index) \(index)") }
        try scene.waitUntilEqual()
        try scene.client.command("FLUSHALL")
        for index in 0..<20 { scene.master.execute("SET later:\(index) v") }
        try wait(until: "both flows have noted a position") {
            try scene.client.command("HLEN", "df2redis:checkpoint:lab").int == 2
        }
        scene.daemon.process.kill()
        try scene.start()
        try scene.waitUntilEqual()
        #expect(scene.master.fullSyncs == 2)
        try scene.daemon.leave()
    }

    @Test func `a promoted replica that lacks the last writes gets them again, without a full sync`() throws {
        let scene = try Scene(throughProxy: true)
        let replica = try RedisServer()
        defer { replica.stop() }
        let promoted = try replica.client()
        for _ in 0..<100 { scene.master.execute("INCR n") }
        try scene.waitUntilEqual()
        try promoted.command("REPLICAOF", "127.0.0.1", "\(scene.redis.port)")
        try wait(until: "the replica has the data") { try promoted.command("GET", "n").text == "100" }
        try promoted.command("REPLICAOF", "NO", "ONE")
        // What comes now never reaches the replica.
        for _ in 0..<100 { scene.master.execute("INCR n") }
        try wait(until: "the primary has it") { try scene.get("n") == "200" }
        // Otherwise the new primary would only lack a batch in flight, which is sent again.
        try wait(until: "the daemon knows so") {
            scene.master.flow(0)?.acknowledgements.last?.lsn == scene.master.nextLSNs[0]
        }
        scene.proxy?.redirect(to: replica.port)
        try wait(until: "the new primary has it too") { try promoted.command("GET", "n").text == "200" }
        for _ in 0..<100 { scene.master.execute("INCR n") }
        try wait(until: "it is followed") { try promoted.command("GET", "n").text == "300" }
        #expect(scene.daemon.logs("the target came back with other data"))
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }

    // MARK: Again and again

    @Test func `full syncs in quick succession are counted, shown and delayed`() throws {
        let scene = try Scene()
        scene.master.execute("SET k v")
        for round in 1...3 {
            try wait(until: "it follows", timeout: .seconds(60)) {
                scene.daemon.count(of: "stable: following") == round && scene.master.sessionStates == ["online"]
            }
            try scene.client.command("FLUSHALL")
            try scene.breakConnection(ofFlow: 0)
        }
        try wait(until: "the fourth is shown") { scene.daemon.status?["fullSyncs"] as? Int == 4 }
        #expect(scene.daemon.count(of: "the last full sync was not followed by a minute of replication: the next") == 1)
        #expect(scene.daemon.count(of: "the last 3 full syncs were not followed by a minute of replication") == 1)
        try scene.waitUntilEqual()
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `the source is left when memory and disk are full, and followed again when all is applied`() throws {
        let scene = try Scene(shards: 2, ["spool": ["memoryBytes: 1048576", "diskBytes: 4194304"]])
        scene.redis.pause()
        let value = String(repeating: "v", count: 50_000)
        for index in 0..<800 { scene.master.execute("APPEND big:\(index % 7) \(value)") }
        try scene.daemon.wait(forLine: "there is no room left for what waits")
        #expect(scene.daemon.logs("spool.diskBytes is spent (raise spool.memoryBytes or spool.diskBytes)"))
        // The source is free of us while the target takes nothing.
        try wait(until: "the session has ended") { scene.master.sessionStates == [] }
        try scene.daemon.wait(forLine: "reconnecting to the source once the")
        let sessions = scene.master.sessionsStarted
        for index in 0..<100 { scene.master.execute("APPEND big:\(index % 7) more") }
        #expect(scene.master.sessionsStarted == sessions, "not before all is applied")
        scene.redis.resume()
        try scene.waitUntilEqual()
        #expect(scene.daemon.logs("resuming at the checkpoint"))
        #expect(scene.daemon.logs("event=overflow"), "no target was lost")
        #expect(scene.master.fullSyncs == 1)
        #expect(scene.master.timedOutSessions == 0)
        #expect(scene.master.violations == [])
        try scene.daemon.leave()
    }

    @Test func `giveUpSeconds ends a task whose target stays away after the source is left`() throws {
        let scene = try Scene(["reconnect": ["giveUpSeconds: 1"]])
        scene.redis.kill()
        scene.master.endSessions()
        try scene.daemon.expectExit(75)
        #expect(scene.daemon.logs("Connection refused"))
    }

    @Test func `a full sync too fast for the target is aborted and delayed, and the log says what to raise`() throws {
        let master = try SimulatedMaster(.live(SyntheticDataSet(keys: 120_000, valueBytes: 300)))
        let port = try master.start()
        let redis = try RedisServer()
        let proxy = try TCPProxy(to: redis.port, commandsPerSecond: 60)
        defer {
            proxy.stop()
            redis.stop()
            master.stop()
        }
        var configuration = Daemon.Configuration(
            source: port, target: proxy.port, sections: ["spool": ["memoryBytes: 1048576", "diskBytes: 2097152"]])
        let first = try Daemon(.replicate, configuration)
        defer { first.process.kill() }
        try first.wait(forLine: "(raise spool.memoryBytes or spool.diskBytes)")
        try first.wait(forLine: "not followed by a minute of replication: the next one begins in")
        try first.leave()

        configuration.sections["spool"] = ["memoryBytes: 67108864", "diskBytes: 67108864"]
        let second = try Daemon(.replicate, configuration, folder: first.folder)
        defer { second.process.kill() }
        try wait(until: "more waits than before could") {
            second.status?["queuedBytes"] as? Int ?? 0 > 24 << 20
        }
        proxy.commandsPerSecond = nil
        try second.wait(forLine: "stable: following")
        try waitUntilEqual(RESPClient(port: port), redis.client())
        try second.leave()
        #expect(master.timedOutSessions == 0, "the source was never made to wait until it gave up")
        #expect(master.violations == [])
    }

    @Test func `a full state directory affects only the status file and the dead letters`() throws {
        let folder = try TemporaryFolder("full")
        for name in ["status.json.new", "lab.dead-letters.jsonl"] {
            try FileManager.default.createDirectory(atPath: folder.file("state"), withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(
                atPath: folder.file("state/\(name)"), withDestinationPath: "/dev/full")
        }
        let master = try SimulatedMaster(.live(nil))
        let port = try master.start()
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let daemon = try Daemon(
            .replicate,
            .init(source: port, target: redis.port, sections: ["policy": ["onUnsupported: skip"]]), folder: folder)
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        for number in 0..<10 { master.send(journal: [JournalEntry("JSON.SET doc:\(number) $ {}")], flow: 0) }
        master.execute("SET after 1")
        let client = try redis.client()
        try wait(until: "the record behind is applied") { try client.command("GET", "after").text == "1" }
        try daemon.wait(forLine: "the status file cannot be written: write")
        try daemon.wait(forLine: "the dead-letter file cannot be written")
        #expect(daemon.count(of: "the dead-letter file cannot be written") == 1, "once")
        #expect(daemon.logs("No space left on device"))
        // The failed write removes the link that simulates the full disk. A disk that is full again causes another warning.
        try wait(until: "the status file is written") { daemon.status != nil }
        let warning = "the status file cannot be written: write"
        try wait(until: "it is told again") {
            try? FileManager.default.createSymbolicLink(
                atPath: folder.file("state/status.json.new"), withDestinationPath: "/dev/full")
            return daemon.count(of: warning) > 1
        }
        try daemon.leave()
        #expect(daemon.logs("10 x json"))
    }

    @Test func `a file size limit is handled like a full disk`() throws {
        let scene = try Scene(["spool": ["memoryBytes: 1048576", "diskBytes: 67108864"]])
        // As LimitFSIZE= of a unit does; the log is a file as well, and small.
        let folder = try TemporaryFolder("prlimit")
        let prlimit = try ChildProcess(
            "prlimit", ["--pid", "\(scene.daemon.process.pid)", "--fsize=2097152"], output: folder.file("output"))
        #expect(try prlimit.waitForEnd() == .exited(0))
        scene.redis.pause()
        let value = String(repeating: "v", count: 50_000)
        for index in 0..<800 { scene.master.execute("APPEND big:\(index % 7) \(value)") }
        try scene.daemon.wait(forLine: "there is no room left for what waits")
        #expect(scene.daemon.logs("File too large (free space, or set spool.dir to a folder of another disk)"))
        scene.redis.resume()
        try scene.waitUntilEqual()
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }
}
