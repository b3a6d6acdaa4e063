import Base
import DragonflySimulator
import Foundation
import Lab
import Testing

/// `df2redis monitor` beside a source, and `df2redis health` beside a task.
@Suite(.serialized) struct `The monitor of the source` {
    private final class Scene {
        let master: SimulatedMaster
        let folder: TemporaryFolder
        let process: ChildProcess

        /// - Parameter url: of the hook, if there is one beside the command.
        init(url: String? = nil) throws {
            master = try startedMaster()
            folder = try TemporaryFolder("monitor")
            _ = try folder.write("", to: "dragonfly.log")
            let config = try folder.write(
                """
                source:
                  addr: 127.0.0.1:\(master.port)
                target:
                  addr: 127.0.0.1:1
                stateDir: \(folder.path)
                monitor:
                  intervalSeconds: 0.1
                  pingLimitMilliseconds: 500
                  quietSeconds: 1
                  log: \(folder.file("dragonfly.log"))
                  hook:
                    command: echo "$DF2REDIS_STATE $DF2REDIS_ALERT of $DF2REDIS_TASK" >> \(folder.file("hook"))
                """ + (url.map { "\n    url: \($0)\n" } ?? ""), to: "lab.yaml")
            process = try ChildProcess(
                BuiltProgram.daemon.path, ["monitor", "--config", config], output: folder.file("output"),
                error: folder.file("error"))
            try wait(until: "it looks") { master.connections.contains { $0.commands.contains("INFO replication") } }
        }

        deinit {
            process.kill()
            master.stop()
        }

        var hook: String { (try? String(contentsOfFile: folder.file("hook"), encoding: .utf8)) ?? "" }
    }

    @Test func `raises an alert once and clears it once, in the log and by the hook`() throws {
        let scene = try Scene()
        let file = try #require(FileHandle(forWritingAtPath: scene.folder.file("dragonfly.log")))
        for number in 0..<3 { try file.write(contentsOf: Data("W1 Waiting for inflight bytes \(number)\n".utf8)) }
        try wait(until: "the alert is cleared") { scene.hook.contains("cleared log") }
        #expect(scene.hook == "raised log of lab\ncleared log of lab\n")
        for text in [
            "event=alertRaised", "the source's log says: W1 Waiting for inflight bytes 2", "event=alertCleared",
        ] {
            try wait(until: "'\(text)' is in the log") { scene.process.errorOutput.contains(text) }
        }

        scene.master.refuse([Refusal("PING", reply: nil, times: 3)])
        try wait(until: "the next one is cleared") { scene.hook.contains("cleared unanswered") }
        #expect(scene.hook.hasSuffix("raised unanswered of lab\ncleared unanswered of lab\n"))
        scene.process.signal(SIGTERM)
        #expect(try scene.process.waitForEnd() == .exited(0))
        #expect(scene.master.violations.isEmpty)
    }

    @Test func `reports that a Redis is not a Dragonfly`() throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let folder = try TemporaryFolder("monitor")
        let config = try folder.write(
            "source: {addr: '127.0.0.1:\(redis.port)'}\ntarget: {addr: '127.0.0.1:1'}\nmonitor: {intervalSeconds: 0.1}\n",
            to: "lab.yaml")
        let process = try ChildProcess(
            BuiltProgram.daemon.path, ["monitor", "--config", config], output: folder.file("output"),
            error: folder.file("error"))
        defer { process.kill() }
        let text = "the source 127.0.0.1:\(redis.port) (source.addr) is not a Dragonfly"
        try wait(until: "it is said") { process.errorOutput.contains(text) }
        process.signal(SIGTERM)
        #expect(try process.waitForEnd() == .exited(0))
        #expect(process.errorOutput.components(separatedBy: text).count == 2, "once")
    }

    @Test func `posts an alert to a URL, and logs a failure to do so`() throws {
        let requests = Lock<[String]>([])
        var receiver: ScriptedServer? = try ScriptedServer { connection, number in
            var text = ""
            while !text.hasSuffix("}\n") {
                let piece = connection.receive()
                guard !piece.isEmpty else { return }
                text += piece
            }
            requests.withLock { $0.append(text) }
            let status = number == 0 ? "204 No Content" : "500 Internal Server Error"
            connection.send("HTTP/1.1 \(status)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        let secret = "token-of-the-receiver"
        let port = try #require(receiver?.port)
        let scene = try Scene(url: "http://127.0.0.1:\(port)/alerts?key=\(secret)")
        let file = try #require(FileHandle(forWritingAtPath: scene.folder.file("dragonfly.log")))
        try file.write(contentsOf: Data("W1 Waiting for inflight bytes 7\n".utf8))
        try wait(until: "both alerts are posted") { requests.withLock { $0.count } == 2 }
        let raised = requests.withLock { $0[0] }
        #expect(raised.hasPrefix("POST /alerts?key=\(secret) HTTP/1.1\r\n"))
        #expect(raised.contains("Content-Type: application/json"))
        #expect(raised.contains(#""alert":"log""#))
        #expect(raised.contains(#""state":"raised""#))
        #expect(raised.contains("Waiting for inflight bytes 7"))
        try wait(until: "the refusal is in the log") {
            scene.process.errorOutput.contains("monitor.hook.url has failed with exit status 22")
        }
        #expect(!scene.process.errorOutput.contains(secret))
        #expect(scene.hook == "raised log of lab\ncleared log of lab\n")
        receiver = nil
        scene.master.refuse([Refusal("PING", reply: nil, times: 3)])
        try wait(until: "nobody listens any more") {
            scene.process.errorOutput.contains("monitor.hook.url has failed with exit status 7")
        }
        #expect(scene.process.isRunning)
    }

    @Test func `reports a source that is gone, and waits for it`() throws {
        let scene = try Scene()
        scene.master.stop()
        try wait(until: "the alert is raised") { scene.hook.contains("raised unanswered") }
        #expect(scene.process.isRunning)
        #expect(scene.hook == "raised unanswered of lab\n")
    }
}

@Suite(.serialized) struct `The health of a task` {
    private func health(_ daemon: Daemon, _ arguments: String...) throws -> (end: ChildProcess.End, text: String) {
        let folder = try TemporaryFolder("health")
        let process = try ChildProcess(
            BuiltProgram.daemon.path, ["health", "lab"] + arguments, output: folder.file("output"),
            error: folder.file("error"), environment: ["RUNTIME_DIRECTORY": daemon.folder.file("run")])
        let end = try process.waitForEnd(timeout: .seconds(60))
        return (end, process.output + process.errorOutput)
    }

    @Test func `is good while the task waits for a server, and bad while it hangs`() throws {
        let master = try startedMaster()
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        #expect(try health(daemon).end == .exited(0))
        redis.stop()
        master.execute("SET k v")
        try daemon.wait(forLine: "what arrives is kept meanwhile")
        #expect(try health(daemon).end == .exited(0))
        daemon.process.pause()
        let ill = try health(daemon, "--tries", "2", "--pause", "0")
        #expect(ill.end == .exited(75))
        #expect(ill.text.contains("try 2 of 2: "))
        daemon.process.resume()
        #expect(try health(daemon).end == .exited(0))
        master.stop()
        try daemon.wait(forLine: "another attempt in")
        let waiting = try health(daemon)
        #expect(waiting.end == .exited(0))
        daemon.process.kill()
        #expect(try health(daemon).end == .exited(69))
    }
}
