import DragonflySimulator
import Foundation
import Lab
import Testing

/// `df2redis status` and `df2redis stop`, on tasks that run.
@Suite(.serialized) struct `The commands on a running task` {
    private func scene(drainSeconds: Int = 0) throws -> RedisScene {
        let scene = try RedisScene(["shutdown": ["drainSeconds: \(drainSeconds)"]])
        try scene.follow()
        return scene
    }

    @Test func `status shows each task in a table, or as JSON`() throws {
        let scene = try scene()
        scene.master.execute("SET a 1")
        try wait(until: "it is applied") { scene.daemon.status?["records"] as? Int == 1 }
        for arguments in [[], ["lab"]] {
            let result = try arguments.isEmpty ? scene.run("status") : scene.run("status", "lab")
            #expect(result.end == .exited(0))
            let lines = result.output.split(separator: "\n")
            #expect(lines.count == 2)
            #expect(lines.first?.hasPrefix("TASK  STATE") == true)
            #expect(lines.last?.hasPrefix("lab   stable") == true)
            #expect(lines.last?.contains("127.0.0.1:\(scene.master.port)") == true)
        }
        let json = try scene.run("status", "--json")
        let list = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [[String: Any]])
        #expect(list.map { $0["task"] as? String } == ["lab"])
        #expect(list.first?["pid"] as? Int32 == scene.daemon.process.pid)
    }

    @Test func `status names a task that does not run, and exits with 69`() throws {
        let scene = try scene()
        let result = try scene.run("status", "lab", "nobody")
        #expect(result.end == .exited(69))
        #expect(result.output.contains("nobody  not running"))
        #expect(result.output.contains("the task does not run: nothing listens on "))
        #expect(try scene.run("status", "../lab").end == .exited(69))
        let nothing = try scene.daemon.start(["status"], runtimeDirectory: scene.folder.file("elsewhere"))
        try nothing.waitForEnd()
        #expect(nothing.end == .exited(0))
        #expect(nothing.output.hasPrefix("no task runs here"))
    }

    @Test func `status shows that a task is waiting for its target`() throws {
        let scene = try scene()
        scene.redis.pause()
        defer { scene.redis.resume() }
        scene.master.execute("SET a 1")
        try wait(until: "the target is lost") { scene.daemon.status?["targetLost"] as? Bool == true }
        let result = try scene.run("status", "lab")
        #expect(result.end == .exited(0))
        #expect(result.output.contains("\nlab   target-lost "))
        #expect(
            result.output.contains(
                "\n  the target does not serve: the target: no answer from 127.0.0.1:\(scene.redis.port) "))
    }

    @Test func `the socket is accessible to its user and group only`() throws {
        let scene = try scene()
        var info = stat()
        #expect(lstat(scene.folder.file("run/lab/control.sock"), &info) == 0)
        #expect(info.st_mode & 0o777 == 0o660)
    }

    @Test func `stop makes the task leave in order, reports it, and waits for the end`() throws {
        let scene = try scene(drainSeconds: 1)
        let result = try scene.run("stop", "lab")
        #expect(result.end == .exited(0))
        #expect(result.output.contains("lab: asked process \(scene.daemon.process.pid) to leave\n"))
        #expect(result.output.contains("lab: leaving 127.0.0.1:\(scene.master.port)\n"))
        #expect(result.output.hasSuffix("lab: ended\n"))
        try scene.daemon.expectExit(0)
        #expect(scene.daemon.logs("asked over its socket to leave, as 'df2redis stop' does"))
        #expect(!scene.daemon.logs("SIGTERM received"))
        #expect(scene.master.violations.isEmpty)
        let again = try scene.run("stop", "lab")
        #expect(again.end == .exited(69))
        #expect(again.errorOutput.contains("lab: the task does not run: nothing listens on"))
    }

    @Test func `stop kills a task that leaves slowly only with --force`() throws {
        let slow = try scene(drainSeconds: 3)
        let result = try slow.run("stop", "lab", "--timeout", "0")
        #expect(result.end == .exited(75))
        #expect(result.errorOutput.contains("it goes on leaving"))
        try slow.daemon.expectExit(0)

        let scene = try scene(drainSeconds: 20)
        let forced = try scene.run("stop", "lab", "--timeout", "1", "--force")
        #expect(forced.end == .exited(75))
        #expect(forced.errorOutput.contains("killed after 1 s"))
        #expect(try scene.daemon.process.waitForEnd(timeout: .seconds(10)) == .signalled(SIGKILL))
        // The socket that it has left is nobody's.
        #expect(try scene.run("stop", "lab").end == .exited(69))
        #expect(try scene.run("status", "lab").end == .exited(69))
    }

    @Test func `stop sends SIGTERM to a process that hangs, and kills it with --force`() throws {
        let scene = try scene()
        let process = scene.daemon.process
        process.pause()
        let named = try scene.run("status", "lab")
        #expect(named.end == .exited(75))
        #expect(named.output.contains("\nlab   no answer "))
        #expect(named.output.contains("no answer within 5 s\n"))
        let all = try scene.run("status")
        #expect(all.end == .exited(0))
        #expect(all.output == named.output)
        let asked = try scene.run("stop", "lab", "--timeout", "1")
        #expect(asked.end == .exited(75))
        #expect(
            asked.output == "lab: process \(process.pid) does not answer within 2 s: it has been sent SIGTERM\n")
        #expect(asked.errorOutput.contains("still there after 1 s: process \(process.pid) does not answer"))
        #expect(process.isRunning)
        let forced = try scene.run("stop", "lab", "--timeout", "1", "--force")
        #expect(forced.end == .exited(75))
        #expect(forced.errorOutput.contains("killed after 1 s"))
        #expect(try process.waitForEnd(timeout: .seconds(10)) == .signalled(SIGKILL))
    }

    @Test func `stop --force kills a hanging process whose socket accepts no more connections`() throws {
        let scene = try scene()
        let process = scene.daemon.process
        process.pause()
        var waiting: [HTTPClient] = []
        while waiting.count < 5000,
            let one = try? HTTPClient(socket: scene.folder.file("run/lab/control.sock"), timeout: .seconds(1))
        { waiting.append(one) }
        try #require(waiting.count < 5000, "the socket takes everybody")
        let forced = try scene.run("stop", "lab", "--timeout", "1", "--force")
        #expect(forced.output.contains("process \(process.pid) does not answer"))
        #expect(forced.errorOutput.contains("killed after 1 s"))
        #expect(try process.waitForEnd(timeout: .seconds(10)) == .signalled(SIGKILL))
    }

    @Test(.enabled(if: canUnshare, "no PID namespace can be made here"))
    func `stop sends no signal if the process is in another PID namespace`() throws {
        let scene = try scene()
        let file = scene.folder.file("lab.yaml")
        for arguments in [
            ["stop", "lab", "--timeout", "1", "--force"], ["cutover", "lab", "--undo", "--config", file],
        ] {
            let result = try scene.run(arguments, through: ["unshare", "--pid", "--fork", "--mount-proc"])
            guard case .exited(let code) = result.end else { throw LabError("it has killed itself") }
            #expect(code != 0)
            #expect(result.errorOutput.contains("runs in another PID namespace"), "\(result.errorOutput)")
        }
        #expect(scene.daemon.process.isRunning)
        try scene.daemon.leave()
    }

    private static let canUnshare: Bool = {
        guard let folder = try? TemporaryFolder("unshare"),
            let process = try? ChildProcess(
                "unshare", ["--pid", "--fork", "--mount-proc", "true"], output: folder.file("output"))
        else { return false }
        return (try? process.waitForEnd()) == .exited(0)
    }()

    @Test func `stop lets a process that hangs for a while leave in order`() throws {
        let scene = try scene()
        let process = scene.daemon.process
        process.pause()
        let stopped = try scene.run("stop", "lab", "--timeout", "0")
        #expect(stopped.end == .exited(75))
        process.resume()
        try scene.daemon.expectExit(0)
        #expect(scene.daemon.logs("SIGTERM received"))
        #expect(scene.master.violations.isEmpty)
    }

    @Test func `a command fails if it cannot print, unless it has also done something else`() throws {
        let scene = try scene()
        var runs = 0
        func run(_ arguments: [String]) throws -> (end: ChildProcess.End, error: String) {
            runs += 1
            let process = try ChildProcess(
                "/bin/sh", ["-c", "exec \"$0\" \"$@\" > /dev/full", BuiltProgram.daemon.path] + arguments,
                output: scene.folder.file("output.\(runs)"), error: scene.folder.file("errors.\(runs)"),
                environment: ["RUNTIME_DIRECTORY": scene.folder.file("run")])
            return (try process.waitForEnd(timeout: .seconds(60)), process.errorOutput)
        }
        let file = scene.folder.file("lab.yaml")
        for arguments in [
            ["config", "--print-default"], ["config", "--check", file], ["status"], ["status", "--json"],
            ["check", "--config", file], ["preflight", "--config", file], ["health", "lab"], ["verify", "lab"],
            ["--help"], ["check", "--help"], ["--version"],
        ] {
            let (end, error) = try run(arguments)
            #expect(end == .exited(74), "\(arguments)")
            #expect(error.contains("df2redis: standard output: No space left on device\n"), "\(arguments): \(error)")
        }
        let (end, error) = try run(["stop", "lab"])
        #expect(end == .exited(0))
        #expect(error == "df2redis: standard output: No space left on device; this goes on without it\n")
        try scene.daemon.expectExit(0)
    }

    @Test func `a wrong command line is refused`() throws {
        let scene = try scene()
        for arguments in [
            ["stop"], ["stop", "lab", "--timeout", "-1"], ["stop", "lab", "--timeout", "x"], ["status", "--yaml"],
        ] {
            let process = try ChildProcess(
                BuiltProgram.daemon.path, arguments, output: scene.folder.file("output"),
                error: scene.folder.file("error"), environment: ["RUNTIME_DIRECTORY": scene.folder.file("run")])
            #expect(try process.waitForEnd(timeout: .seconds(30)) == .exited(64), "\(arguments)")
        }
        #expect(scene.daemon.process.isRunning)
    }
}
