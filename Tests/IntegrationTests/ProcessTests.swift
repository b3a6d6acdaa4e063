import Foundation
import Lab
import Testing
import Wire

@Suite struct `Processes of the laboratory` {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder("process-tests") }

    private func shell(_ script: String, error: String? = nil) throws -> ChildProcess {
        try ChildProcess("sh", ["-c", script], output: folder.file("out"), error: error.map(folder.file))
    }

    @Test func `the exit code and both outputs are reported`() throws {
        let process = try shell("echo to stdout; echo to stderr >&2; exit 78", error: "err")
        #expect(try process.waitForEnd() == .exited(78))
        #expect(process.output == "to stdout\n")
        #expect(process.errorOutput == "to stderr\n")
        #expect(!process.isRunning)
    }

    @Test func `an end by a signal is reported as such, not as an exit code`() throws {
        let process = try shell("kill -USR1 $$; exit 0")
        #expect(try process.waitForEnd() == .signalled(SIGUSR1))
    }

    @Test func `a process that exceeds the time limit keeps running, and the error shows its output`() throws {
        let process = try shell("echo at work; while :; do sleep 1; done")
        try wait(until: "it prints") { !process.output.isEmpty }
        let error = #expect(throws: LabError.self) { try process.waitForEnd(timeout: .milliseconds(50)) }
        #expect(error?.description.contains("at work") == true)
        #expect(process.isRunning)
        process.kill()
        #expect(process.end == .signalled(SIGKILL))
    }

    @Test func `a process that ignores SIGTERM is killed`() throws {
        let process = try shell("trap '' TERM; echo ready; while :; do sleep 1; done")
        try wait(until: "it prints") { !process.output.isEmpty }
        #expect(process.terminate(grace: .milliseconds(200)) == .signalled(SIGKILL))
    }

    @Test func `a child ignores no signals, even if its parent does`() throws {
        let previous = signal(SIGHUP, SIG_IGN)
        defer { signal(SIGHUP, previous) }
        let process = try shell("kill -HUP $$; exit 0")
        #expect(try process.waitForEnd() == .signalled(SIGHUP))
    }

    @Test func `a child inherits none of our descriptors`() throws {
        // Not closed on exec, as a socket that has just been accepted.
        let descriptor = dup(0)
        defer { close(descriptor) }
        let process = try shell("test -e /proc/self/fd/\(descriptor)")
        #expect(try process.waitForEnd() == .exited(1))
    }

    @Test func `CPU time and peak memory are those of the process`() throws {
        // 20 MB in a shell variable, and some work.
        let process = try shell(
            "x=$(head -c 20000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
        #expect(try process.waitForEnd() == .exited(0))
        #expect(process.usage.peakResidentBytes > 20_000_000)
        #expect(process.usage.cpuSeconds > 0)
    }

    @Test func `a missing program causes an error with its name`() {
        let error = #expect(throws: LabError.self) {
            try ChildProcess("/no/such/program", [], output: folder.file("out"))
        }
        #expect(error?.description.contains("/no/such/program") == true)
    }

    @Test func `a process is killed and a temporary folder removed when the last reference to it is gone`() throws {
        var process: ChildProcess? = try shell("while :; do sleep 1; done")
        let pid = try #require(process?.pid)
        #expect(kill(pid, 0) == 0)
        process = nil
        #expect(kill(pid, 0) == -1)

        var temporary: TemporaryFolder? = try TemporaryFolder("gone")
        let path = try #require(try temporary?.write("text", to: "file"))
        #expect(FileManager.default.fileExists(atPath: path))
        temporary = nil
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}

@Suite struct `Servers of the laboratory` {
    @Test func `a paused server answers nothing until it is resumed`() throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let impatient = try redis.client(timeout: .seconds(1))
        try impatient.command("PING")
        redis.pause()
        #expect(throws: LabError.self) { try impatient.command("PING") }
        redis.resume()
        #expect(try redis.client().command("PING").text == "PONG")
    }

    @Test func `a killed server restarts on its port, and is empty unless it persists its data`() throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let port = redis.port
        try redis.client().command("SET", "k", "v")
        redis.kill()
        #expect(!redis.isRunning)
        #expect(throws: LabError.self) { try redis.client() }
        try redis.restart()
        #expect(redis.port == port)
        #expect(try redis.client().command("DBSIZE").int == 0)
    }

    @Test func `given options take precedence, and data in an append-only file survives a kill`() throws {
        let redis = try RedisServer(["--appendonly", "yes", "--appendfsync", "always"])
        defer { redis.stop() }
        try redis.client().command("SET", "k", "v")
        redis.kill()
        try redis.restart()
        #expect(try redis.client().command("GET", "k").text == "v")
    }

    @Test func `a server that cannot start causes an error with the reason`() {
        let error = #expect(throws: LabError.self) { try RedisServer(["--no-such-option", "1"]) }
        #expect(error?.description.contains("no-such-option") == true)
    }

    @Test func `an error reply is thrown with the server's message`() throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        let error = #expect(throws: LabError.self) { try client.command("GET") }
        #expect(error?.description.contains("wrong number of arguments") == true)
        #expect(try client.send([[UInt8]("GET")]).errorText?.hasPrefix("ERR") == true)
    }

    @Test func `two servers are compared, with a limit on the differences listed`() throws {
        let (one, two) = (try RedisServer(), try RedisServer())
        defer {
            one.stop()
            two.stop()
        }
        let (source, target) = (try one.client(), try two.client())
        for client in [source, target] {
            try client.command(["MSET"] + (0..<3000).flatMap { ["key:\($0)", "value"] })
            try client.command("SELECT", "5")
            try client.command("SET", "far", "v")
            try client.command("SELECT", "0")
        }
        try target.command("HSET", "df2redis:checkpoint:lab", "flow", "1")
        let equal = try ServerComparison(source: source, target: target)
        #expect(equal.isEqual)
        #expect(equal.keyCount == 3001)

        try target.command("DEL", "key:1", "key:2")
        try target.command("SET", "key:3", "other")
        try target.command("SET", "new", "v")
        let different = try ServerComparison(source: source, target: target, limit: 2)
        #expect(different.differenceCount == 4)
        #expect(different.differences.count == 2)
        #expect(
            try ServerComparison(source: source, target: target).differences.map(\.key)
                == ["key:1", "key:2", "key:3", "new"].map { [UInt8]($0) })
    }
}
