import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// `df2redis check` as an operator runs it.
@Suite(.serialized) struct `The command check` {
    /// A task's configuration, and runs of the command with it.
    private final class Scene {
        let folder: TemporaryFolder
        private let config: String
        private var runs = 0

        init(source: UInt16, target: UInt16, ofTarget: [String] = [], _ lines: [String] = []) throws {
            folder = try TemporaryFolder("check")
            config = try folder.write(
                """
                source:
                  addr: 127.0.0.1:\(source)
                target:
                  addr: 127.0.0.1:\(target)
                \(ofTarget.map { "  \($0)\n" }.joined())stateDir: \(folder.path)
                \(lines.joined(separator: "\n"))
                """, to: "lab.yaml")
        }

        func check(_ options: String...) throws -> (code: Int32, output: String, errors: String) {
            runs += 1
            let process = try ChildProcess(
                BuiltProgram.daemon.path, ["check", "--config", config] + options,
                output: folder.file("output\(runs)"), error: folder.file("errors\(runs)"))
            guard case .exited(let code) = try process.waitForEnd(timeout: .seconds(120)) else {
                throw LabError("check was killed:\n\(process.outputTail())")
            }
            return (code, process.output, process.errorOutput)
        }

        func differences(_ file: String = "lab.check.jsonl") throws -> [[String: String]] {
            let text = try String(contentsOfFile: folder.file(file), encoding: .utf8)
            return try text.split(separator: "\n").map { line in
                let fields = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
                return fields.mapValues { "\($0)" }
            }
        }
    }

    @Test func `rejects an empty --filter, and warns about databases that are empty on both sides`() throws {
        let (source, target) = (try startedMaster(), try RedisServer())
        defer {
            source.stop()
            target.stop()
        }
        let scene = try Scene(source: source.port, target: target.port)
        for port in [source.port, target.port] { try RESPClient(port: port).command("SET", "a", "1") }
        let nowhere = try scene.check("--databases", "0,9,14")
        #expect(nowhere.code == 0)
        #expect(nowhere.output.hasPrefix("equal: 1 key of database 0"))
        #expect(
            nowhere.errors == "df2redis: warning: neither side has a key in database 9\n"
                + "df2redis: warning: neither side has a key in database 14\n")
        let pattern = try scene.check("--filter", "")
        #expect(pattern.code == 64)
        #expect(pattern.errors.contains("--filter is a pattern"))
    }

    @Test func `lists keys that a policy leaves out, and does not count them as differences`() throws {
        let master = try startedMaster(shards: 2)
        let target = try RedisServer()
        defer {
            master.stop()
            target.stop()
        }
        for command in ["SET a 1", "BF.ADD filter x"] { master.execute(command) }
        for database in [3, 99] { master.execute("SET elsewhere 1", database: database) }
        try target.client().command("SET", "a", "1")
        let named = try Scene(source: master.port, target: target.port, ["policy:", "  onUnsupported: skip"])
        let equal = try named.check("--settle", "0.1")
        #expect(equal.code == 1, "\(equal)")
        #expect(try named.differences().map { $0["kind"] } == ["left-out", "missing"])
        #expect(equal.output.contains("left out 1  MBbloom-- 1: by policy.onUnsupported, no difference"), "\(equal)")

        let scene = try Scene(
            source: master.port, target: target.port, ofTarget: ["database: {3: skip}"],
            ["policy:", "  onUnsupported: skip"])
        let check = try scene.check("--settle", "0.1")
        #expect(check.code == 0, "\(check)")
        #expect(
            check.output.hasPrefix("equal, but for 3 keys left out by policy: 2 keys of database 0, mode value"),
            "\(check)")
        #expect(check.output.contains("left out 1  all of database 3: by policy, no difference"), "\(check)")
        #expect(check.output.contains("left out 1  all of database 99: by policy, no difference"), "\(check)")
        #expect(check.output.contains("\nthe keys that are left out are in "), "\(check)")
        #expect(try scene.differences().map { $0["kind"] } == ["left-out"])
        let json = try scene.check("--json")
        #expect(json.output.contains(#""leftOut":{"MBbloom--":1},"leftOutDatabases":{"3":1,"99":1}"#), "\(json)")

        // With policy stop nothing is left out.
        let strict = try Scene(source: master.port, target: target.port, ofTarget: ["database: {3: skip, 99: skip}"])
        let differing = try strict.check("--settle", "0.1")
        #expect(differing.code == 1, "\(differing)")
        #expect(try strict.differences().map { $0["kind"] } == ["missing"])
    }

    @Test func `exits with 0 if both sides are equal and with 1 if keys differ, which it lists`() throws {
        let (source, target) = (try startedMaster(), try RedisServer())
        defer {
            source.stop()
            target.stop()
        }
        let scene = try Scene(source: source.port, target: target.port)
        for port in [source.port, target.port] { try RESPClient(port: port).command("MSET", "a", "1", "b", "2") }
        let equal = try scene.check()
        #expect(equal.code == 0, "\(equal)")
        #expect(equal.output.hasPrefix("equal: 2 keys of database 0, mode value"))
        #expect(try scene.differences() == [])

        try target.client().command("SET", "b", "3")
        try RESPClient(port: source.port).command("HSET", "c", "f", "v")
        let different = try scene.check("--settle", "0.2")
        #expect(different.code == 1, "\(different)")
        #expect(different.output.hasPrefix("2 keys differ: 3 keys of database 0"))
        #expect(different.output.contains("missing  1  hash 1"))
        #expect(
            different.output.contains("value    1  string 1") || different.output.contains("value      1  string 1"))
        #expect(
            Set(try scene.differences()) == [
                ["database": "0", "kind": "missing", "type": "hash", "key": "c", "keyHex": "63"],
                ["database": "0", "kind": "value", "type": "string", "key": "b", "keyHex": "62"],
            ])
        #expect(different.errors == "", "no progress where there is no terminal")

        let json = try scene.check(
            "--settle", "0.2", "--json", "--mode", "outline", "--output", scene.folder.file("own"))
        #expect(json.code == 1)
        let fields = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
        #expect(fields?["different"] as? Int == 1)
        #expect(fields?["equal"] as? Bool == false)
        #expect(try scene.differences("own").map { $0["key"] } == ["c"])
    }

    @Test func `exits with the status for the reason why it cannot compare`() throws {
        let (source, target) = (try startedMaster(), try RedisServer())
        defer {
            source.stop()
            target.stop()
        }
        let scene = try Scene(source: source.port, target: target.port)
        #expect(try scene.check("--mode", "all").code == 64)
        #expect(try scene.check("--sample", "0").code == 64)
        #expect(try scene.check("--databases", "0,x").code == 64)
        #expect(try scene.check("--output", "/nowhere/file").code == 73)
        try target.client().command("CONFIG", "SET", "requirepass", "secret")
        let refused = try scene.check()
        #expect(refused.code == 77)
        #expect(refused.errors.contains("target.password"))
        target.stop()
        #expect(try scene.check().code == 75)
        source.stop()
        #expect(try scene.check().code == 69)
    }

    @Test func `prints the result even if the list of differing keys cannot be written`() throws {
        let (source, target) = (try startedMaster(), try RedisServer())
        defer {
            source.stop()
            target.stop()
        }
        try target.client().command("SET", "a", "1")
        let full = try Scene(source: source.port, target: target.port).check("--settle", "0.2", "--output", "/dev/full")
        #expect(full.code == 74)
        #expect(full.output.hasPrefix("1 key differs: "), "\(full)")
        #expect(
            full.errors.contains("not all differing keys could be written: write /dev/full: No space left on device"))
    }

    @Test func `warns and still compares if its default output file cannot be created`() throws {
        let (source, target) = (try startedMaster(), try RedisServer())
        defer {
            source.stop()
            target.stop()
        }
        let scene = try Scene(source: source.port, target: target.port)
        // A folder in place of the new file, so that even root cannot create the file.
        mkdir(scene.folder.file("lab.check.jsonl.new"), 0o700)
        for port in [source.port, target.port] { try RESPClient(port: port).command("SET", "a", "1") }
        let equal = try scene.check()
        #expect(equal.code == 74)
        #expect(equal.output.hasPrefix("equal: 1 key of database 0"), "\(equal)")
        #expect(
            equal.errors.hasPrefix("df2redis: warning: the differing keys will not be listed: open "), "\(equal)")
        #expect(equal.errors.contains("--output names another file"))

        try target.client().command("SET", "a", "2")
        let different = try scene.check("--settle", "0.2", "--json")
        #expect(different.code == 74)
        #expect(different.output.contains(#""different":1,"#), "\(different)")
        #expect(different.output.contains(#""file":null"#), "\(different)")
        #expect(try scene.check("--output", scene.folder.file("own")).code == 1)
    }

    @Test(.enabled(if: geteuid() == 0, "giving a file away takes root"))
    func `run by root gives its output file to the owner of the state directory`() throws {
        let (source, target) = (try startedMaster(), try RedisServer())
        defer {
            source.stop()
            target.stop()
        }
        let scene = try Scene(source: source.port, target: target.port)
        let nobody = uid_t(65534)
        let file = try scene.folder.write("of another", to: "lab.check.jsonl")
        #expect(chown(scene.folder.path, nobody, nobody) == 0)
        #expect(try scene.check().code == 0)
        var info = stat()
        #expect(stat(file, &info) == 0)
        #expect([info.st_uid, info.st_gid] == [nobody, nobody])
        #expect(info.st_mode & 0o777 == 0o640)
        #expect(try scene.differences() == [])
    }

    @Test func `refuses a Dragonfly as the target before it compares anything`() throws {
        let (dragonfly, other, redis) = (try startedMaster(), try startedMaster(), try RedisServer())
        defer {
            dragonfly.stop()
            other.stop()
            redis.stop()
        }
        for source in [dragonfly.port, redis.port] {
            let refused = try Scene(source: source, target: other.port).check()
            #expect(refused.code == 78, "\(refused)")
            #expect(
                refused.errors.contains("the target is a Dragonfly; df2redis writes to Redis or Valkey (target.addr)"))
            #expect(refused.output == "")
        }
    }
}

/// A real Dragonfly whose clients write, and a task that follows it.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `The command check beside a task` {
    @Test func `finds no difference under random writes, and finds one that is made on purpose`() throws {
        let master = try DragonflyServer(shards: 2)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let writer = try RandomWriter(port: master.port, keys: 400, seed: printedSeed())
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable")
        try wait(until: "there is something to compare") { writer.commandCount > 20_000 }

        func check() throws -> (code: Int32, output: String) {
            let process = try ChildProcess(
                BuiltProgram.daemon.path,
                ["check", "--config", daemon.folder.file("lab.yaml"), "--task-name", "lab"],
                output: daemon.folder.file("check"))
            guard case .exited(let code) = try process.waitForEnd(timeout: .seconds(120)) else {
                throw LabError("check was killed:\n\(process.outputTail())")
            }
            let file = try String(contentsOfFile: daemon.folder.file("state/lab.check.jsonl"), encoding: .utf8)
            return (code, process.outputTail() + "\n" + file)
        }
        let before = writer.commandCount
        let equal = try check()
        print(equal.output)
        #expect(equal.code == 0, "\(equal.output)")
        #expect(writer.commandCount > before, "there were writes meanwhile")

        try writer.stop()
        // The writer flushes databases.
        let (source, target) = (try master.client(), try redis.client())
        for start in stride(from: 0, to: 5000, by: 500) {
            let fields = (start..<start + 500).flatMap { ["field\($0)", "value"] }
            try source.command(["HSET", "large"] + fields)
        }
        try source.command("SET", "large-string", String(repeating: "x", count: 3 << 20))
        try wait(until: "the target has it") { try target.command("EXISTS", "large-string", "large").int == 2 }
        try wait(until: "the target has all of it") { try target.command("HLEN", "large").int == 5000 }
        try redis.client().command("HSET", "large", "field17", "other")
        let different = try check()
        #expect(different.code == 1, "\(different.output)")
        #expect(different.output.contains("1 key differs"))
        #expect(different.output.contains(#""kind":"value","type":"hash","key":"large""#))
        // The task has not noticed the connections of the command.
        #expect(daemon.process.isRunning)
        try daemon.leave()
    }
}
