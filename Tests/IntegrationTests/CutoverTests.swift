import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A task that follows, with one key on both sides.
private final class CutoverScene: TaskScene<RedisServer> {
    /// - Parameter sections: override the usual ones, which have a drain long enough to be noticed.
    init(_ sections: [String: [String]] = [:]) throws {
        let usual = ["shutdown": ["drainSeconds: 5"]].merging(sections) { $1 }
        try super.init(from: startedMaster(), into: RedisServer(), usual)
        master.execute("SET kept 1")
        try follow()
        try wait(until: "the source's key is there") { try get("kept") == "1" }
    }

    func cutOver(_ arguments: String...) throws -> ChildProcess { try cutOver(arguments) }

    /// - Returns: the command, which has ended.
    func cutOver(_ arguments: [String]) throws -> ChildProcess { try run(["cutover", "lab"] + arguments) }

    func beginCutOver(_ arguments: String...) throws -> ChildProcess { try beginCutOver(arguments) }

    func beginCutOver(_ arguments: [String]) throws -> ChildProcess {
        try daemon.start(["cutover", "lab"] + arguments)
    }

    /// - Returns: the exit code of 'df2redis refresh'.
    func refresh(_ arguments: [String]) throws -> Int32? {
        guard case .exited(let code) = try run(["refresh", "lab"] + arguments).end else { return nil }
        return code
    }

    /// Records that the source numbers and does not send: the target never has them.
    func loseRecords() {
        master.withholdingRecords { for number in 0..<10 { master.execute("SET withheld:\(number) v") } }
    }

    /// Writers are not paused, and the task follows.
    func expectAsBefore() throws {
        #expect(!master.isPaused)
        #expect(daemon.process.isRunning)
        master.execute("SET after 1")
        try wait(until: "the task goes on") { try get("after") == "1" }
    }
}

/// Seconds of the line 'writers waited N s'.
func waited(_ output: String) -> Double? {
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
        let cutover = try scene.cutOver()
        #expect(cutover.end == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        let seconds = try #require(waited(cutover.output))
        #expect(seconds < 1)
        #expect(cutover.output.contains("point clients to 127.0.0.1:\(scene.redis.port) now"))
        try scene.daemon.expectExit(0)
        // The pause still keeps clients from writing that have not switched to the target.
        #expect(scene.master.isPaused)
        #expect(scene.master.pauseCalls == (2, 0))
        try wait(until: "the clients have gone") { writers.running == 0 }
        let target = try scene.redis.client()
        #expect(try writers.missing(at: target) == [])
        #expect(try target.command("PEXPIRETIME", "expiring").int.map { .integer($0) } == due)
        #expect(scene.master.violations.isEmpty)
    }

    @Test func `with --dry-run prints the planned steps and changes nothing`() throws {
        let scene = try CutoverScene()
        let cutover = try scene.cutOver("--dry-run", "--check", "sample 5%")
        #expect(cutover.end == .exited(0), "\(cutover.errorOutput)")
        #expect(cutover.output.contains("CLIENT PAUSE 10000 WRITE"))
        #expect(cutover.output.contains("compare both sides and mend what differs, while clients write"))
        #expect(cutover.output.contains("compare 5.0 % of the keys"))
        #expect(!(try scene.cutOver("--dry-run", "--no-verify").output.contains("mend what differs")))
        #expect(scene.master.pauseCalls == (0, 0))
        try scene.expectAsBefore()
    }

    @Test func `succeeds although a policy leaves keys out, and reports their number`() throws {
        let scene = try CutoverScene(["policy": ["onUnsupported: skip"]])
        scene.master.execute("BF.ADD filter x")
        #expect(try scene.cutOver("--dry-run").end == .exited(0))
        let cutover = try scene.cutOver("--check", "all")
        #expect(cutover.end == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        #expect(cutover.output.contains("2 keys compared, none differs\n"), "\(cutover.output)")
        #expect(cutover.output.contains("1 is left out by policy, and is no difference"), "\(cutover.output)")
        #expect(
            cutover.output.contains("1 key is equal on both sides, 1 is left out by policy\n"), "\(cutover.output)")
        try scene.daemon.expectExit(0)
        #expect(try scene.redis.client().command("EXISTS", "filter").int == 0)
    }

    @Test(arguments: ["all", "sample 50%"]) func `with --check compares both sides while writers wait`(
        _ extent: String
    ) throws {
        let scene = try CutoverScene()
        for number in 0..<3000 { scene.master.execute("SET key:\(number) \(number)") }
        let writers = CountingWriters(port: scene.master.port, patience: .seconds(2))
        let cutover = try scene.cutOver("--check", extent)
        #expect(cutover.end == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        #expect(cutover.output.contains("keys are equal on both sides"))
        try scene.daemon.expectExit(0)
        try wait(until: "the clients have gone") { writers.running == 0 }
        #expect(try writers.missing(at: scene.redis.client()) == [])
    }

    @Test func `is aborted with exit status 1 if both sides differ`() throws {
        let scene = try CutoverScene()
        try scene.redis.client().command("SET", "kept", "other")
        let cutover = try scene.cutOver("--no-verify", "--check", "all")
        #expect(cutover.end == .exited(1))
        #expect(cutover.errorOutput.contains("1 of 1 key differs, see "))
        #expect(cutover.errorOutput.contains("nothing was changed"))
        #expect(scene.master.pauseCalls == (1, 1))
        try scene.expectAsBefore()
    }

    @Test func `compares even if the list of differing keys cannot be written`() throws {
        let scene = try CutoverScene()
        mkdir(scene.daemon.folder.file("state/lab.check.jsonl.new"), 0o700)
        try scene.redis.client().command("SET", "kept", "other")
        let different = try scene.cutOver("--no-verify", "--check", "all")
        #expect(different.end == .exited(1), "\(different.errorOutput)")
        #expect(
            different.errorOutput.contains("1 of 1 key differs, which could not all be written to a file (open "),
            "\(different.errorOutput)")
        try scene.expectAsBefore()
        try scene.redis.client().command("SET", "kept", "1")
        let equal = try scene.cutOver("--no-verify", "--check", "all")
        #expect(equal.end == .exited(0), "\(equal.errorOutput)")
        #expect(equal.output.contains("equal on both sides\n"), "\(equal.output)")
        try scene.daemon.expectExit(0)
    }

    @Test func `is aborted if it exceeds --pause-limit`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.cutOver("--no-verify", "--pause-limit", "1")
        #expect(cutover.end == .exited(75))
        #expect(cutover.errorOutput.contains("10 records were not applied in time"))
        #expect(scene.master.pauseCalls == (1, 1))
        #expect(!scene.master.isPaused)
        #expect(scene.daemon.process.isRunning)
    }

    @Test func `is aborted if its process is stopped until the pause has ended`() throws {
        let scene = try CutoverScene()
        scene.master.refuse([Refusal("DUMP", reply: "LOADING not now", times: 1_000_000)])
        #expect(try scene.refresh(["kept", "--no-wait"]) == 0)
        // It waits for the key as long as it may, and then goes on without it.
        let cutover = try scene.beginCutOver("--no-verify", "--pause-limit", "3")
        try wait(until: "it waits for the key") {
            cutover.output.contains("have applied what the source has journaled")
        }
        cutover.signal(SIGSTOP)
        try wait(until: "the pause is over") { !scene.master.isPaused }
        cutover.signal(SIGCONT)
        #expect(try cutover.waitForEnd(timeout: .seconds(60)) == .exited(75), "\(cutover.output)")
        #expect(cutover.errorOutput.contains("the pause of 3 s was over before it could be made longer"))
        #expect(cutover.errorOutput.contains("nothing was changed"))
        #expect(scene.master.pauseCalls == (2, 1))
        try scene.expectAsBefore()
    }

    @Test func `mends differing keys before it pauses writers`() throws {
        let scene = try CutoverScene()
        let target = try scene.redis.client()
        try target.command("SET", "kept", "other")
        let cutover = try scene.cutOver("--check", "all")
        #expect(cutover.end == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        #expect(cutover.output.contains("1 key compared, 1 of them differed, 1 of these is mended"))
        #expect(cutover.output.contains("1 key is equal on both sides"))
        try scene.daemon.expectExit(0)
        #expect(try target.command("GET", "kept").text == "1")
    }

    @Test func `pauses no writers if a key cannot be mended or if it is interrupted while comparing`() throws {
        let scene = try CutoverScene(["policy": ["onError: skip"]])
        let target = try scene.redis.client()
        // The target accepts no value of this length.
        try target.command("CONFIG", "SET", "proto-max-bulk-len", "1mb")
        scene.master.execute([[UInt8]("SET"), [UInt8]("long"), [UInt8](repeating: 120, count: 2 << 20)])
        try wait(until: "it is left out") { scene.daemon.deadLetters.contains { $0.key == "long" } }
        let cutover = try scene.cutOver()
        #expect(cutover.end == .exited(1), "\(cutover.output)")
        #expect(cutover.errorOutput.contains("1 key differs and could not be mended; nothing was changed"))
        #expect(scene.master.pauseCalls == (0, 0))
        try scene.expectAsBefore()

        for number in 0..<20_000 { scene.master.execute("SET key:\(number) 1") }
        let slow = try scene.beginCutOver()
        try wait(until: "both sides are compared") { slow.output.contains("comparing both sides") }
        slow.signal(SIGINT)
        #expect(try slow.waitForEnd(timeout: .seconds(30)) == .exited(75))
        #expect(slow.errorOutput.contains("nothing was changed: the task goes on"))
        #expect(scene.master.pauseCalls == (0, 0))
        try scene.expectAsBefore()
    }

    @Test func `reads keys queued for a refresh at the source while writers wait`() throws {
        let scene = try CutoverScene(["refresh": ["keysPerSecond: 1"]])
        let keys = (0..<100).map { "key:\($0)" }
        for key in keys { scene.master.execute("SET \(key) v") }
        let target = try scene.redis.client()
        try wait(until: "all keys are there") { try target.command("EXISTS", keys[99]).int == 1 }
        for key in keys { try target.command("SET", key, "another") }
        #expect(try scene.refresh(keys + ["--keys-per-second", "1", "--no-wait"]) == 0)
        // Nothing is compared: the refresh mends the keys.
        let cutover = try scene.cutOver("--no-verify", "--pause-limit", "30")
        #expect(cutover.end == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        #expect(cutover.output.contains("keys that waited to be read at the source are as there"))
        try scene.daemon.expectExit(0)
        for key in keys { #expect(try target.command("GET", key).text == "v") }
    }

    @Test func `that cannot read queued keys in time succeeds only with --no-verify`() throws {
        let scene = try CutoverScene()
        scene.master.refuse([Refusal("DUMP", reply: "LOADING not now", times: 1_000_000)])
        #expect(try scene.refresh(["kept", "--no-wait"]) == 0)
        let cutover = try scene.cutOver("--pause-limit", "1", "--no-verify")
        #expect(cutover.output.contains("1 of 1 key that may differ was not read at the source in time"))
        #expect(cutover.end == .exited(0))
        try scene.daemon.expectExit(0)

        let careful = try CutoverScene()
        careful.master.refuse([Refusal("DUMP", reply: "LOADING not now", times: 1_000_000)])
        #expect(try careful.refresh(["kept", "--no-wait"]) == 0)
        let refused = try careful.cutOver("--pause-limit", "1", "--check", "none")
        #expect(refused.end != .exited(0), "\(refused.output)")
        try careful.expectAsBefore()
    }

    @Test func `fetches consumer group positions that the journal lacks while writers wait`() throws {
        let scene = try CutoverScene()
        let master = scene.master
        for number in 0..<20 {
            master.execute("XADD stream:\(number) 1-1 f v")
            master.execute("XGROUP CREATE stream:\(number) g 0")
        }
        master.execute("XADD alone 1-1 f v")
        let target = try scene.redis.client()
        try wait(until: "the groups are there") { try target.command("EXISTS", "alone").int == 1 }
        try wait(until: "nothing is to be read") {
            (scene.daemon.status?["refreshes"] as? [String: Any])?["waiting"] as? Int == 0
        }
        func delivered(_ number: Int) throws -> String? {
            try target.command("XINFO", "GROUPS", "stream:\(number)").array?.first?.array?[7].text
        }
        for number in 0..<20 { master.execute("XREADGROUP GROUP g c NOACK STREAMS stream:\(number) >") }
        #expect(try delivered(7) == "0-0")
        // Nothing is compared before: the fetch brings the positions.
        let cutover = try scene.cutOver("--no-verify")
        #expect(cutover.end == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        #expect(cutover.output.contains("20 streams with groups of consumers are as at the source"))
        try scene.daemon.expectExit(0)
        for number in 0..<20 { #expect(try delivered(number) == "1-1") }
    }

    @Test func `is aborted if it cannot read streams with consumer groups in time`() throws {
        let scene = try CutoverScene()
        scene.master.execute("XADD stream 1-1 f v")
        scene.master.execute("XGROUP CREATE stream g 0")
        try wait(until: "nothing is to be read") {
            let figures = scene.daemon.status?["refreshes"] as? [String: Any]
            return figures?["waiting"] as? Int == 0 && figures?["refreshed"] as? Int == 1
        }
        scene.master.refuse([Refusal("DUMP", reply: "LOADING not now", times: 1_000_000)])
        let cutover = try scene.cutOver("--no-verify", "--pause-limit", "1")
        #expect(cutover.end == .exited(75), "\(cutover.output)")
        #expect(
            cutover.errorOutput.contains("1 of 1 stream with groups of consumers was not read at the source in time"))
        #expect(scene.master.pauseCalls == (1, 1))
        try scene.expectAsBefore()
    }

    @Test func `prevents the task from starting again until it is undone`() throws {
        let scene = try CutoverScene()
        #expect(try scene.cutOver().end == .exited(0))
        try scene.daemon.expectExit(0)
        #expect(scene.daemon.logs("event=cutOver"), "\(scene.daemon.log)")
        #expect(scene.daemon.logs("clients write to 127.0.0.1:\(scene.redis.port) from now on"))
        #expect(!scene.daemon.logs("SIGTERM received"))
        // Clients write to the target.
        let target = try scene.redis.client()
        try target.command("SET", "kept", "newer")
        let again = try scene.start()
        try again.expectExit(78)
        #expect(again.logs("this task has been cut over: clients write to 127.0.0.1:\(scene.redis.port) since"))
        #expect(again.logs("df2redis cutover lab --undo --config \(again.folder.path)/"), "\(again.log)")
        // On another host, or with another state directory, the target says so.
        let elsewhere = try scene.start(in: TemporaryFolder("elsewhere"))
        try elsewhere.expectExit(78)
        #expect(elsewhere.logs("this task has been cut over: clients write to the target since"))
        // A task of another name that follows the same source does not start either.
        let renamed = try Daemon(.replicate, scene.configuration, task: "renamed")
        try renamed.expectExit(78)
        #expect(renamed.logs("df2redis:checkpoint:lab, has been cut over from the same source"), "\(renamed.log)")
        for (number, daemon) in [again, elsewhere, renamed].enumerated() {
            let file = daemon.folder.file("\(daemon.task).yaml")
            let preflight = try ChildProcess(
                BuiltProgram.daemon.path, ["preflight", "--config", file, "--task-name", daemon.task],
                output: scene.folder.file("preflight.\(number)"), error: scene.folder.file("preflight.errors"))
            #expect(try preflight.waitForEnd(timeout: .seconds(60)) == .exited(65), "\(preflight.output)")
            #expect(preflight.output.contains("has been cut over"), "\(preflight.output)")
            #expect(preflight.output.contains("df2redis cutover lab --undo"), "\(preflight.output)")
            #expect(preflight.output.matches(of: /fail +\w+ +cut-over/).count == 1, "\(preflight.output)")
            #expect(!preflight.output.contains("has a position here"), "\(preflight.output)")
        }
        #expect(try target.command("GET", "kept").text == "newer")

        let file = scene.folder.file("lab.yaml")
        for option in [["--dry-run"], ["--no-pause"], ["--no-verify"], ["--check", "all"], ["--pause-limit", "3"]] {
            let refused = try scene.cutOver(["--undo", "--config", file] + option)
            #expect(refused.end == .exited(64), "\(option)")
            #expect(refused.errorOutput.contains("--undo goes with --config only, and was not done"))
        }
        #expect(FileManager.default.fileExists(atPath: scene.folder.file("state/lab.cutover")))
        // Everything that was received is applied.
        let note = try target.command("HGET", "df2redis:checkpoint:lab", "cutover").text
        #expect(note.flatMap { Int($0) } ?? 0 > 1_700_000_000, "\(note ?? "none")")
        let undo = try scene.cutOver("--undo", "--config", file)
        #expect(undo.end == .exited(0), "\(undo.errorOutput)")
        #expect(undo.output.contains("lab may start again"))
        #expect(
            try scene.cutOver("--undo", "--config", file).output == "lab has not been cut over: nothing was changed\n")
        let last = try scene.start()
        try last.wait(forLine: "the task was cut over, which has been taken back")
        try last.leave()
    }

    /// The source's journal lacks what clients have written at the target: only a full sync finds it.
    @Test(arguments: ["target", "file"])
    func `that is undone is followed by a full sync, after which both sides are equal`(_ store: String) throws {
        let scene = try CutoverScene(["checkpoint": ["store: \(store)"], "shutdown": ["drainSeconds: 0"]])
        let master = scene.master
        for number in 0..<20 { master.execute("SET k:\(number) \(number)") }
        master.execute("INCR count")
        #expect(try scene.cutOver().end == .exited(0))
        try scene.daemon.expectExit(0)
        let target = try scene.redis.client()
        try target.command("INCR", "count")
        try target.command("DEL", "k:5")
        try target.command("SET", "extra", "1")
        let folder = scene.folder
        #expect(try scene.cutOver("--undo", "--config", folder.file("lab.yaml")).end == .exited(0))
        let mark = folder.file("state/lab.resync")
        #expect(FileManager.default.fileExists(atPath: mark))
        #expect(
            try target.command("HKEYS", "df2redis:checkpoint:lab").array?.contains {
                $0.text?.hasPrefix("flow:") == true
            } == false)

        // If a process ends before its full sync has begun, the next one still has to make it.
        master.refuse([Refusal("REPLCONF", reply: "ERR not now", times: 3)])
        let early = try scene.start()
        try early.wait(forLine: "ERR not now")
        early.process.kill()
        #expect(FileManager.default.fileExists(atPath: mark))

        let daemon = try scene.start()
        try daemon.wait(forLine: "stable: following")
        try daemon.wait(forLine: "reconciled: ")
        #expect(!FileManager.default.fileExists(atPath: mark))
        master.execute("INCR count")
        try wait(until: "it is applied") { try target.command("GET", "count").text == "2" }
        #expect(try target.command("GET", "k:5").text == "5")
        #expect(try target.command("EXISTS", "extra").int == 0)
        try daemon.leave()
        // The checkpoint holds the position after the full sync.
        let again = try scene.start()
        try again.wait(forLine: "resuming at the checkpoint")
        try again.leave()
    }

    @Test func `is aborted if the task cannot record it`() throws {
        let scene = try CutoverScene()
        // A folder in place of the note keeps the task from writing it.
        try FileManager.default.createDirectory(
            atPath: scene.folder.file("state/lab.cutover.new"), withIntermediateDirectories: true)
        let cutover = try scene.cutOver()
        #expect(cutover.end == .exited(74), "\(cutover.output)")
        #expect(cutover.errorOutput.contains("cannot note that it is cut over, and goes on"))
        #expect(scene.master.pauseCalls == (2, 1))
        try scene.expectAsBefore()
    }

    @Test(arguments: [SIGINT, SIGTERM]) func `is aborted by SIGINT or SIGTERM`(_ signal: Int32) throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.beginCutOver("--no-verify", "--pause-limit", "60")
        try wait(until: "writers are paused") { scene.master.isPaused }
        cutover.signal(signal)
        #expect(try cutover.waitForEnd(timeout: .seconds(30)) == .exited(75))
        #expect(cutover.errorOutput.contains("interrupted"))
        #expect(cutover.errorOutput.contains("go on"))
        #expect(!scene.master.isPaused)
        #expect(scene.daemon.process.isRunning)
    }

    @Test func `that is interrupted while it examines the servers changes nothing, and says only that`() throws {
        let scene = try CutoverScene()
        scene.redis.pause()
        defer { scene.redis.resume() }
        let cutover = try scene.beginCutOver()
        // By now the command waits for the target's answer.
        Thread.sleep(forTimeInterval: 2)
        cutover.signal(SIGINT)
        #expect(try cutover.waitForEnd(timeout: .seconds(30)) == .exited(75), "\(cutover.output)")
        #expect(cutover.errorOutput.contains("interrupted\ndf2redis: nothing was changed: the task goes on"))
        #expect(cutover.output.contains("SIGINT: giving up; nobody was paused"))
        #expect(!cutover.output.contains("fail"), "\(cutover.output)")
        #expect(scene.master.pauseCalls == (0, 0))
    }

    @Test(arguments: [["--no-verify", "--check", "all", "--pause-limit", "60"], []])
    func `reports at once if the task ends while both sides are compared`(_ options: [String]) throws {
        let scene = try CutoverScene()
        for number in 0..<20_000 { scene.master.execute("SET key:\(number) 1") }
        let cutover = try scene.beginCutOver(options)
        try wait(until: "both sides are compared") {
            cutover.output.contains(
                options.isEmpty ? "comparing both sides" : "have applied what the source has journaled")
        }
        scene.daemon.process.kill()
        #expect(try cutover.waitForEnd(timeout: .seconds(30)) == .exited(69), "\(cutover.output)")
        #expect(cutover.errorOutput.contains("The task has ended, and its log says why"), "\(cutover.errorOutput)")
        #expect(!cutover.errorOutput.contains("in time"), "\(cutover.errorOutput)")
        #expect(!scene.master.isPaused)
    }

    @Test func `is not undone if the target cannot be asked whether there was one`() throws {
        let scene = try CutoverScene()
        try scene.daemon.leave()
        let file = try scene.folder.write(
            "source:\n  addr: 127.0.0.1:\(scene.master.port)\ntarget:\n  addr: 127.0.0.1:1\nstateDir: \(scene.folder.path)\n",
            to: "unreachable.yaml")
        let undo = try scene.cutOver("--undo", "--config", file)
        #expect(undo.end == .exited(75), "\(undo.output)")
        #expect(
            undo.errorOutput.contains("whether the task was cut over cannot be looked up there: nothing was changed"))
        #expect(!undo.errorOutput.contains("undo it again"))
    }

    @Test func `that is killed leaves a pause that ends by itself`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.beginCutOver("--no-verify", "--pause-limit", "3")
        try wait(until: "writers are paused") { scene.master.isPaused }
        cutover.kill()
        try wait(until: "the pause is over") { !scene.master.isPaused }
        #expect(scene.master.pauseCalls == (1, 0))
        #expect(scene.daemon.process.isRunning)
        // Its lock has gone with it.
        #expect(try scene.cutOver("--no-verify", "--pause-limit", "1").errorOutput.contains("were not applied in time"))
    }

    @Test func `is refused while another one of the same task is under way`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let first = try scene.beginCutOver("--no-verify", "--pause-limit", "60")
        try wait(until: "writers are paused") { scene.master.isPaused }
        let second = try scene.cutOver()
        #expect(second.end == .exited(75))
        #expect(second.errorOutput.contains("another cut-over of this task is under way"))
        #expect(scene.master.pauseCalls == (1, 0))
        #expect(first.isRunning)
        first.signal(SIGINT)
        #expect(try first.waitForEnd() == .exited(75))
    }

    @Test func `is aborted if the task dies in the middle`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.beginCutOver("--no-verify", "--pause-limit", "60")
        try wait(until: "writers are paused") { scene.master.isPaused }
        scene.daemon.process.kill()
        #expect(try cutover.waitForEnd(timeout: .seconds(30)) == .exited(69))
        #expect(cutover.errorOutput.contains("nothing listens on"))
        #expect(
            cutover.errorOutput.contains("writers at 127.0.0.1:\(scene.master.port) go on. The task has ended"),
            "\(cutover.errorOutput)")
        #expect(!cutover.errorOutput.contains("nothing was changed"))
        #expect(!scene.master.isPaused)
        #expect(scene.master.pauseCalls.ended == 1)
    }

    @Test func `names the hanging target as the reason if it exceeds --pause-limit`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.beginCutOver("--no-verify", "--pause-limit", "5")
        try wait(until: "writers are paused") { scene.master.isPaused }
        scene.redis.pause()
        defer { scene.redis.resume() }
        #expect(try cutover.waitForEnd(timeout: .seconds(60)) == .exited(75), "\(cutover.output)")
        let said = cutover.errorOutput
        #expect(said.contains("10 records were not applied in time, of 10: the target"), "\(said)")
        #expect(said.contains("no answer from 127.0.0.1:\(scene.redis.port)"), "\(said)")
        #expect(!said.contains("--pause-limit"), "\(said)")
        #expect(said.contains("and so does the task"), "\(said)")
        #expect(scene.master.pauseCalls == (1, 1))
    }

    @Test func `does not claim that the pause continues if the source dies in the middle`() throws {
        let scene = try CutoverScene()
        scene.loseRecords()
        let cutover = try scene.beginCutOver("--no-verify", "--pause-limit", "60")
        try wait(until: "writers are paused") { scene.master.isPaused }
        scene.master.stop()
        #expect(try cutover.waitForEnd(timeout: .seconds(60)) != .exited(0))
        let said = cutover.errorOutput
        #expect(said.contains("if its process has ended, so has the pause"), "\(said)")
        #expect(!said.contains("CLIENT UNPAUSE"), "\(said)")
        // The task may be leaving the source at this moment.
        #expect(said.contains("the task goes on: ") || said.contains("The task is leaving"), "\(said)")
    }

    @Test func `changes nothing if its user may not use CLIENT PAUSE`() throws {
        let scene = try CutoverScene()
        scene.master.refuse([Refusal("CLIENT PAUSE", reply: "NOPERM df2redis has no ACL permissions")])
        let cutover = try scene.cutOver()
        #expect(cutover.end == .exited(77))
        #expect(cutover.errorOutput.contains("CLIENT PAUSE"))
        try scene.expectAsBefore()
    }

    @Test func `tries CLIENT PAUSE a third time if the source refuses it twice because of long commands`() throws {
        let scene = try CutoverScene()
        scene.master.refuse([Refusal("CLIENT PAUSE", reply: "ERR Failed to pause all running clients", times: 2)])
        #expect(try scene.cutOver("--check", "all").end == .exited(0))
        try scene.daemon.expectExit(0)

        let busy = try CutoverScene()
        busy.master.refuse([Refusal("CLIENT PAUSE", reply: "ERR Failed to pause all running clients", times: 3)])
        let cutover = try busy.cutOver()
        #expect(cutover.end == .exited(69))
        #expect(cutover.errorOutput.contains("commands run for longer than it waits for them"))
        try busy.expectAsBefore()
    }

    @Test func `with --no-pause waits until nobody writes`() throws {
        let scene = try CutoverScene(["shutdown": ["drainSeconds: 0"]])
        let writers = CountingWriters(port: scene.master.port, clients: 2, patience: .seconds(30))
        try wait(until: "clients write") { writers.acknowledged > 100 }
        let early = try scene.cutOver("--no-pause", "--pause-limit", "1")
        #expect(early.end == .exited(75))
        #expect(early.errorOutput.contains("the source goes on journaling"))
        try writers.stop()
        let cutover = try scene.cutOver("--no-pause")
        #expect(cutover.end == .exited(0), "\(cutover.errorOutput)")
        #expect(!cutover.output.contains("writers waited"))
        try scene.daemon.expectExit(0)
        #expect(scene.master.pauseCalls == (0, 0))
        #expect(try writers.missing(at: scene.redis.client()) == [])
    }

    @Test func `is refused if the task does not run, is not stable or has another configuration`() throws {
        let scene = try CutoverScene()
        let other = try scene.folder.write(
            "source:\n  addr: 127.0.0.1:1\ntarget:\n  addr: 127.0.0.1:\(scene.redis.port)\nstateDir: \(scene.folder.path)\n",
            to: "other.yaml")
        let wrong = try scene.cutOver("--config", other)
        #expect(wrong.end == .exited(65))
        #expect(wrong.output.contains("fail  task    servers"))
        for (file, code) in [("nothing.yaml", Int32(78))] {
            #expect(try scene.cutOver("--config", scene.folder.file(file)).end == .exited(code))
        }
        for arguments in [["--pause-limit", "0"], ["--check", "most"], ["--check", "101%"], ["--pause-limit", "x"]] {
            #expect(try scene.cutOver(arguments[0], arguments[1]).end == .exited(64), "\(arguments)")
        }
        scene.master.endSessions()
        scene.master.refuse([Refusal("REPLCONF", reply: "ERR not now")])
        try wait(until: "it is not stable") { scene.daemon.status?["phase"] as? String == "waiting" }
        let unstable = try scene.cutOver()
        #expect(unstable.end == .exited(65))
        #expect(unstable.output.contains("fail  task    phase"))
        scene.daemon.process.kill()
        #expect(try scene.cutOver().end == .exited(69))
        #expect(scene.master.pauseCalls == (0, 0))
    }
}
