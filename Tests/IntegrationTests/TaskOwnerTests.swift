import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// Processes of one task with state directories of their own, as on several hosts: the record in the target decides.
@Suite(.serialized) struct `One task on two hosts` {
    fileprivate static let record = "df2redis:checkpoint:lab:owner"
    /// A process of another machine, as its record names it.
    private static let foreign = "0123456789abcdef db7.example 4711 1-2 3"

    private final class Scene: TaskScene<RedisServer> {
        init(_ sections: [String: [String]] = [:]) throws {
            try super.init(from: startedMaster(), into: RedisServer(), sections)
        }

        /// Starts a process with a state directory of its own.
        func startElsewhere() throws -> Daemon { try start(in: TemporaryFolder("host")) }

        func expectFollowing(_ key: String) throws {
            master.execute("INCR \(key)")
            try wait(until: "the change is applied") { try client.command("GET", key).text == "1" }
        }

        var owner: String? { get throws { try client.command("GET", `One task on two hosts`.record).text } }
    }

    @Test(arguments: ["target", "file"]) func `the first process goes on, and the second ends and names it`(
        _ store: String
    ) throws {
        let scene = try Scene(["checkpoint": ["store: \(store)"]])
        let first = try scene.startElsewhere()
        try first.wait(forLine: "event=stable")
        let second = try scene.startElsewhere()
        try second.expectExit(75)
        #expect(second.logs("the task runs already: process \(first.process.pid) on host "))
        try scene.expectFollowing("n")
        #expect(!first.log.contains("event=targetLost"), "nobody has ended its connections")
        try first.leave()
        #expect(try scene.owner == nil, "a leave leaves the task to the next one")
        let third = try scene.startElsewhere()
        try third.wait(forLine: "event=stable")
        try third.leave()
        #expect(scene.master.violations == [])
    }

    @Test(arguments: ["target", "file"]) func `a killed owner's successor starts at once`(_ store: String) throws {
        let scene = try Scene(["checkpoint": ["store: \(store)"]])
        let first = try scene.startElsewhere()
        try first.wait(forLine: "event=stable")
        first.process.kill()
        #expect(try scene.owner != nil)
        let second = try scene.startElsewhere()
        try second.wait(forLine: "event=stable")
        #expect(second.logs("taking the task over from process \(first.process.pid) on host "))
        #expect(!second.log.contains("to see whether it still runs"))
        try scene.expectFollowing("n")
        try second.leave()
    }

    @Test func `a host that is gone with its connections is replaced at once`() throws {
        let scene = try Scene()
        try scene.client.command("SET", Self.record, Self.foreign, "PX", "600000")
        let daemon = try scene.startElsewhere()
        try daemon.wait(forLine: "event=stable")
        #expect(daemon.logs("taking the task over from process 4711 on host db7.example"))
        #expect(!daemon.log.contains("to see whether it still runs"))
        try daemon.leave()
    }

    @Test func `a host that is gone and has left connections is replaced when its record has expired`() throws {
        let scene = try Scene()
        let left = try scene.redis.client()
        try left.command("CLIENT", "SETNAME", "df2redis:lab:flow-0")
        try scene.client.command("SET", Self.record, Self.foreign, "PX", "4000")
        let daemon = try scene.startElsewhere()
        try daemon.wait(forLine: "the task was last run by process 4711 on host db7.example")
        #expect(try scene.owner == Self.foreign)
        try daemon.wait(forLine: "event=stable")
        #expect(throws: (any Error).self) { try left.command("PING") }
        try daemon.leave()
    }

    @Test func `an owner elsewhere that renews its record is not disturbed`() throws {
        let scene = try Scene()
        let other = try scene.redis.client()
        try other.command("CLIENT", "SETNAME", "df2redis:lab:flow-0")
        try scene.client.command("SET", Self.record, Self.foreign, "PX", "15000")
        let daemon = try scene.startElsewhere()
        try daemon.wait(forLine: "the task was last run by")
        try wait(until: "the daemon has seen it renewed") {
            if try scene.client.command("PTTL", Self.record).int ?? 0 < 12_000 {
                try scene.client.command("SET", Self.record, Self.foreign, "PX", "15000")
            }
            return !daemon.process.isRunning
        }
        try daemon.expectExit(75)
        #expect(daemon.logs("the task runs already: process 4711 on host db7.example"))
        #expect(try other.command("PING").text == "PONG")
        #expect(try scene.owner == Self.foreign)
        #expect(scene.master.sessionsStarted == 0, "the source is not even asked")
    }

    @Test func `an owner that was paused for too long ends when it finds a successor`() throws {
        let scene = try Scene()
        let first = try scene.startElsewhere()
        try first.wait(forLine: "event=stable")
        first.process.pause()
        let second = try scene.startElsewhere()
        try second.wait(forLine: "event=stable")
        first.process.resume()
        try first.expectExit(75)
        #expect(first.logs("process \(second.process.pid) on host "))
        try scene.expectFollowing("n")
        #expect(!second.log.contains("event=targetLost"), "nobody has ended its connections")
        #expect(try scene.owner?.contains(" \(second.process.pid) ") == true)
        try second.leave()
    }

    @Test func `the owner record is restored after a FLUSHALL of the source or of somebody else`() throws {
        let scene = try Scene()
        let daemon = try scene.startElsewhere()
        try daemon.wait(forLine: "event=stable")
        scene.master.execute("FLUSHALL")
        try daemon.wait(forLine: "FLUSHALL applied")
        #expect(try scene.owner != nil)
        try scene.client.command("FLUSHALL")
        try wait(until: "the record is back") { try scene.owner != nil }
        try daemon.leave()
        #expect(try scene.owner == nil)
    }

    /// As after the failover to a replica that has not got the latest writes.
    @Test func `the record of a predecessor that comes back is replaced`() throws {
        let scene = try Scene()
        let first = try scene.startElsewhere()
        try first.wait(forLine: "event=stable")
        let older = try #require(try scene.owner)
        first.process.kill()
        let second = try scene.startElsewhere()
        try second.wait(forLine: "event=stable")
        let newer = try scene.owner
        try scene.client.command("SET", Self.record, older, "PX", "15000")
        try scene.client.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        try scene.expectFollowing("n")
        try wait(until: "the record is the second one's") { try scene.owner == newer }
        try second.leave()
        #expect(try scene.owner == nil)
    }
}

@Suite struct `A task that root runs by hand` {
    /// As with a password in /etc/credstore, and a state directory of the unit's user.
    @Test(.enabled(if: geteuid() == 0, "becoming another user takes root"))
    func `reads files that only root may read, and runs as the owner of its state directory`() throws {
        let (master, redis) = (try startedMaster(), try RedisServer())
        let folder = try TemporaryFolder("root")
        let nobody = uid_t(65534)
        defer {
            redis.stop()
            master.stop()
        }
        try redis.client().command("CONFIG", "SET", "requirepass", "secret")
        #expect(chmod(folder.path, 0o755) == 0)
        #expect(mkdir(folder.file("state"), 0o700) == 0 && chown(folder.file("state"), nobody, nobody) == 0)
        let credentials = folder.file("credentials")
        #expect(mkdir(credentials, 0o700) == 0)
        try folder.write("secret\n", to: "credentials/target-password")
        let daemon = try Daemon(
            .replicate,
            .init(source: master.port, target: redis.port), folder: folder,
            environment: ["CREDENTIALS_DIRECTORY": credentials])
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "to whom \(folder.file("state")) belongs")
        try daemon.wait(forLine: "stable: following")
        let status = try String(contentsOfFile: "/proc/\(daemon.process.pid)/status", encoding: .utf8)
        #expect(status.contains("\nUid:\t65534\t65534\t65534\t65534\n"))
        for file in ["state/lab.lock", "run/lab/control.sock"] {
            var info = stat()
            #expect(stat(folder.file(file), &info) == 0 && info.st_uid == nobody, "\(file)")
        }
        let copy = folder.file("run/lab/credentials/target-password")
        #expect(FileManager.default.fileExists(atPath: copy))
        try daemon.leave()
        #expect(!FileManager.default.fileExists(atPath: copy))
    }
}
