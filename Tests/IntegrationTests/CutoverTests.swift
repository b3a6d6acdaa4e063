import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A task that is stable, and what a test does to it with `df2redis cutover`.
private final class CutoverScene {
    let master: SimulatedMaster
    let redis: RedisServer
    let folder: TemporaryFolder
    let daemon: Daemon

    init(_ change: (inout Daemon.Configuration) -> Void = { _ in }) throws {
        master = try startedMaster(shards: 2)
        redis = try RedisServer()
        folder = try TemporaryFolder("cutover")
        // A drain that would be noticed.
        var configuration = Daemon.Configuration(
            source: master.port, target: redis.port, sections: ["shutdown": ["drainSeconds: 5"]])
        change(&configuration)
        daemon = try Daemon(.replicate, configuration)
        master.execute("SET kept 1")
        try daemon.wait(forLine: "stable: following")
        try wait(until: "the source's key is there") { try redis.client().command("GET", "kept").text == "1" }
    }

    deinit {
        daemon.process.kill()
        redis.stop()
        master.stop()
    }

    func start(_ arguments: String...) throws -> ChildProcess { try start(arguments) }

    private func start(_ arguments: [String]) throws -> ChildProcess {
        let number = Int.random(in: 0..<1_000_000_000)
        return try ChildProcess(
            BuiltProgram.daemon.path, ["cutover", "lab"] + arguments, output: folder.file("output.\(number)"),
            error: folder.file("error.\(number)"), environment: ["RUNTIME_DIRECTORY": daemon.folder.file("run")])
    }

    func run(_ arguments: String...) throws -> ChildProcess {
        let process = try start(arguments)
        _ = try process.waitForEnd(timeout: .seconds(60))
        return process
    }

    /// Records that the source numbers and does not send: the target never has them.
    func loseRecords() {
        master.withholdingRecords { for number in 0..<10 { master.execute("SET withheld:\(number) v") } }
    }

    /// Writers wait for nothing, and the task follows.
    func expectAsBefore() throws {
        #expect(!master.isPaused)
        #expect(daemon.process.isRunning)
        master.execute("SET after 1")
        let client = try redis.client()
        try wait(until: "the task goes on") { try client.command("GET", "after").text == "1" }
    }
}

/// Seconds of the line 'writers waited N s'.
private func waited(_ output: String) -> Double? {
    output.components(separatedBy: "writers waited ").last?.split(separator: " ").first.flatMap { Double($0) }
}

@Suite(.serialized) struct `A cut-over` {
    @Test
    func `under load loses no acknowledged write, keeps writers waiting for less than a second, and ends the task`()
        throws
    {
        let scene = try CutoverScene()
        scene.master.execute("SET expiring v PX 3600000")
        let due = scene.master.execute("PEXPIRETIME expiring")
        let writers = CountingWriters(port: scene.master.port, patience: .seconds(2))
        try wait(until: "clients write") { writers.acknowledged > 2000 }
        let cutover = try scene.run()
        #expect(cutover.end == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        let seconds = try #require(waited(cutover.output))
        #expect(seconds < 1)
        #expect(cutover.output.contains("point clients to 127.0.0.1:\(scene.redis.port) now"))
        try scene.daemon.expectExit(0)
        // Clients that have not come over are still kept from writing.
        #expect(scene.master.isPaused)
        #expect(scene.master.pauseCalls == (2, 0))
        try wait(until: "the clients have gone") { writers.running == 0 }
        let target = try scene.redis.client()
        #expect(try writers.missing(at: target) == [])
        #expect(try target.command("PEXPIRETIME", "expiring").int.map { .integer($0) } == due)
        #expect(scene.master.violations.isEmpty)
    }

    @Test func `--dry-run says what it would do, and does nothing`() throws {
        let scene = try CutoverScene()
        let cutover = try scene.run("--dry-run", "--check", "sample 5%")
        #expect(cutover.end == .exited(0), "\(cutover.errorOutput)")
        #expect(cutover.output.contains("CLIENT PAUSE 10000 WRITE"))
        #expect(cutover.output.contains("compare 5.0 % of the keys"))
        #expect(scene.master.pauseCalls == (0, 0))
        try scene.expectAsBefore()
    }

    @Test(arguments: ["all", "sample 50%"]) func `compares while writers wait`(_ extent: String) throws {
        let scene = try CutoverScene()
        for number in 0..<3000 { scene.master.execute("SET key:\(number) \(number)") }
        let writers = CountingWriters(port: scene.master.port, patience: .seconds(2))
        let cutover = try scene.run("--check", extent)
        #expect(cutover.end == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        #expect(cutover.output.contains("keys are equal on both sides"))
        try scene.daemon.expectExit(0)
        try wait(until: "the clients have gone") { writers.running == 0 }
        #expect(try writers.missing(at: scene.redis.client()) == [])
    }

    @Test func `of sides that differ is taken back, with exit status 1`() throws {
        let scene = try CutoverScene()
        try scene.redis.client().command("SET", "kept", "other")
        let cutover = try scene.run("--check", "all")
        #expect(cutover.end == .exited(1))
        #expect(cutover.errorOutput.contains("1 of 1 keys differ, see "))
        #expect(cutover.errorOutput.contains("nothing was changed"))
        #expect(scene.master.pauseCalls == (1, 1))
        try scene.expectAsBefore()
    }

    @Test func `that is not done within the limit is taken back`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.run("--pause-limit", "1")
        #expect(cutover.end == .exited(75))
        #expect(cutover.errorOutput.contains("10 records were not applied in time"))
        #expect(scene.master.pauseCalls == (1, 1))
        #expect(!scene.master.isPaused)
        #expect(scene.daemon.process.isRunning)
    }

    @Test(arguments: [SIGINT, SIGTERM]) func `that is interrupted is taken back`(_ signal: Int32) throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.start("--pause-limit", "60")
        try wait(until: "writers are paused") { scene.master.isPaused }
        cutover.signal(signal)
        #expect(try cutover.waitForEnd(timeout: .seconds(30)) == .exited(75))
        #expect(cutover.errorOutput.contains("interrupted"))
        #expect(cutover.errorOutput.contains("go on"))
        #expect(!scene.master.isPaused)
        #expect(scene.daemon.process.isRunning)
    }

    @Test func `that is killed leaves a pause that ends by itself`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.start("--pause-limit", "3")
        try wait(until: "writers are paused") { scene.master.isPaused }
        cutover.kill()
        try wait(until: "the pause is over") { !scene.master.isPaused }
        #expect(scene.master.pauseCalls == (1, 0))
        #expect(scene.daemon.process.isRunning)
        // Its lock has gone with it.
        #expect(try scene.run("--pause-limit", "1").errorOutput.contains("were not applied in time"))
    }

    @Test func `beside another one is refused, which goes on`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let first = try scene.start("--pause-limit", "60")
        try wait(until: "writers are paused") { scene.master.isPaused }
        let second = try scene.run()
        #expect(second.end == .exited(75))
        #expect(second.errorOutput.contains("another cut-over of this task is under way"))
        #expect(scene.master.pauseCalls == (1, 0))
        #expect(first.isRunning)
        first.signal(SIGINT)
        #expect(try first.waitForEnd() == .exited(75))
    }

    @Test func `of a task that dies in the middle is taken back`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.start("--pause-limit", "60")
        try wait(until: "writers are paused") { scene.master.isPaused }
        scene.daemon.process.kill()
        #expect(try cutover.waitForEnd(timeout: .seconds(30)) == .exited(69))
        #expect(cutover.errorOutput.contains("nothing listens on"))
        #expect(!scene.master.isPaused)
        #expect(scene.master.pauseCalls.ended == 1)
    }

    @Test func `without the right to pause changes nothing`() throws {
        let scene = try CutoverScene()
        scene.master.refuse([Refusal("CLIENT PAUSE", reply: "NOPERM df2redis has no ACL permissions")])
        let cutover = try scene.run()
        #expect(cutover.end == .exited(77))
        #expect(cutover.errorOutput.contains("CLIENT PAUSE"))
        try scene.expectAsBefore()
    }

    @Test func `that the source refuses twice, for a command that runs long, is tried a third time`() throws {
        let scene = try CutoverScene()
        scene.master.refuse([Refusal("CLIENT PAUSE", reply: "ERR Failed to pause all running clients", times: 2)])
        #expect(try scene.run("--check", "all").end == .exited(0))
        try scene.daemon.expectExit(0)

        let busy = try CutoverScene()
        busy.master.refuse([Refusal("CLIENT PAUSE", reply: "ERR Failed to pause all running clients", times: 3)])
        let cutover = try busy.run()
        #expect(cutover.end == .exited(69))
        #expect(cutover.errorOutput.contains("commands run for longer than it waits for them"))
        try busy.expectAsBefore()
    }

    @Test func `with --no-pause waits until nobody writes`() throws {
        let scene = try CutoverScene { $0.sections["shutdown"] = ["drainSeconds: 0"] }
        let writers = CountingWriters(port: scene.master.port, clients: 2, patience: .seconds(30))
        try wait(until: "clients write") { writers.acknowledged > 100 }
        let early = try scene.run("--no-pause", "--pause-limit", "1")
        #expect(early.end == .exited(75))
        #expect(early.errorOutput.contains("the source goes on journaling"))
        try writers.stop()
        let cutover = try scene.run("--no-pause")
        #expect(cutover.end == .exited(0), "\(cutover.errorOutput)")
        #expect(!cutover.output.contains("writers waited"))
        try scene.daemon.expectExit(0)
        #expect(scene.master.pauseCalls == (0, 0))
        #expect(try writers.missing(at: scene.redis.client()) == [])
    }

    @Test func `of a task that does not run, is not stable or is in another file's words is refused`() throws {
        let scene = try CutoverScene()
        let other = try scene.folder.write(
            "source:\n  addr: 127.0.0.1:1\ntarget:\n  addr: 127.0.0.1:\(scene.redis.port)\nstateDir: \(scene.folder.path)\n",
            to: "other.yaml")
        let wrong = try scene.run("--config", other)
        #expect(wrong.end == .exited(65))
        #expect(wrong.output.contains("fail  task    servers"))
        for (file, code) in [("nothing.yaml", Int32(78))] {
            #expect(try scene.run("--config", scene.folder.file(file)).end == .exited(code))
        }
        for arguments in [["--pause-limit", "0"], ["--check", "most"], ["--check", "101%"], ["--pause-limit", "x"]] {
            #expect(try scene.run(arguments[0], arguments[1]).end == .exited(64), "\(arguments)")
        }
        scene.master.endSessions()
        scene.master.refuse([Refusal("REPLCONF", reply: "ERR not now")])
        try wait(until: "it is not stable") { scene.daemon.status?["phase"] as? String == "waiting" }
        let unstable = try scene.run()
        #expect(unstable.end == .exited(65))
        #expect(unstable.output.contains("fail  task    phase"))
        scene.daemon.process.kill()
        #expect(try scene.run().end == .exited(69))
        #expect(scene.master.pauseCalls == (0, 0))
    }
}

@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `A cut-over from a real Dragonfly` {
    @Test(arguments: [1, 2, 4]) func `under load loses no acknowledged write`(_ shards: Int) throws {
        let master = try DragonflyServer(shards: shards)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let source = try master.client()
        try source.command("DEBUG", "POPULATE", "20000", "filler", "64")
        // Keys that are due while writers wait, and after it.
        for number in 0..<500 { try source.command("SET", "soon:\(number)", "v", "PX", "\(3000 + number * 20)") }
        try source.command("SET", "later", "v", "PX", "3600000")
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        // Time is for the switch alone; what is at the target is compared at the end.
        let writers = CountingWriters(port: master.port, clients: 6, patience: .seconds(2))
        try wait(until: "clients write") { writers.acknowledged > 5000 }
        let folder = try TemporaryFolder("cutover")
        let cutover = try ChildProcess(
            BuiltProgram.daemon.path, ["cutover", "lab"], output: folder.file("output"),
            error: folder.file("error"), environment: ["RUNTIME_DIRECTORY": daemon.folder.file("run")])
        #expect(try cutover.waitForEnd(timeout: .seconds(60)) == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        try daemon.expectExit(0)
        let seconds = try #require(waited(cutover.output))
        print("\(shards) shards: writers waited \(seconds) s")
        #expect(seconds < 1)
        try wait(until: "the clients have gone") { writers.running == 0 }
        let target = try redis.client()
        #expect(try writers.missing(at: target) == [])
        #expect(
            try target.command("PEXPIRETIME", "later").int == source.command("PEXPIRETIME", "later").int)
    }
}
