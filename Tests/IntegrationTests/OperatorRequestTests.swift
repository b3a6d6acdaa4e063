import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A task that follows.
final class OperatorRequestScene: TaskScene<RedisServer> {
    init(_ sections: [String: [String]] = [:]) throws {
        try super.init(from: startedMaster(), into: RedisServer(), sections)
        try follow()
    }

    /// Keys that both sides have.
    func write(_ count: Int) throws {
        for number in 0..<count { master.execute("SET key:\(number) \(number)") }
        let target = try redis.client()
        try wait(until: "the target has them") { try target.dataKeys == count }
    }

    var verification: [String: Any] {
        get throws { try HTTPClient(socket: daemon.controlSocket).request("/api/verify").object() }
    }
}

@Suite(.serialized) struct `A verification on demand` {
    @Test func `mends foreign changes even if both sides are not compared continuously`() throws {
        let scene = try OperatorRequestScene()
        try scene.write(500)
        let target = try scene.redis.client()
        try target.command("SET", "key:7", "by a stranger")
        try target.command("DEL", "key:8", "key:9")
        try target.command("PEXPIRE", "key:10", "1000000")
        let verify = try scene.run("verify", "lab")
        #expect(verify.end == .exited(0), "\(verify.output)\(verify.errorOutput)")
        #expect(verify.output == "lab: 500 keys compared, 4 of them differed, 4 of these are mended\n")
        #expect(try target.command("MGET", "key:7", "key:8", "key:9").array?.map(\.text) == ["7", "8", "9"])
        #expect(try target.command("PTTL", "key:10").int == -1)
        try wait(until: "the page's answer has it") {
            let latest = try HTTPClient(socket: scene.daemon.controlSocket).request("/api/check/latest").object()
            return latest["message"] as? String == "500 keys, 4 differed, 4 are mended"
                && latest["finishedAt"] is String
        }
        // Both sides are not compared continuously.
        #expect(scene.daemon.status?["verify"] is NSNull)

        let again = try scene.run("verify", "lab", "--keys-per-second", "20000")
        #expect(again.end == .exited(0))
        #expect(again.output == "lab: 500 keys compared, none differs\n")
    }

    @Test func `treats keys left out by policy as no difference, and does not count them again`() throws {
        let scene = try OperatorRequestScene(["policy": ["onUnsupported: skip"], "target": ["database: {3: skip}"]])
        try scene.write(10)
        scene.master.execute("BF.ADD filter x")
        scene.master.execute("SET elsewhere 1", database: 3)
        scene.master.execute("SET elsewhere 1", database: 99)
        func incidents() throws -> [String: Int] {
            try HTTPClient(socket: scene.daemon.controlSocket).request("/api/status").object()["incidents"]
                as? [String: Int] ?? [:]
        }
        let expected = ["bloom-filter": 1, "database-number": 2]
        try wait(until: "they are counted") { try incidents() == expected }
        let verify = try scene.run("verify", "lab")
        #expect(verify.end == .exited(0), "\(verify.output)\(verify.errorOutput)")
        #expect(
            verify.output == """
                lab: 11 keys compared, none differs
                lab: 3 are left out by policy, and are no differences: 'df2redis check' lists them

                """)
        #expect(try scene.verification["leftOutByPolicy"] as? Int == 3)
        #expect(try incidents() == expected)

        // An older value of an unsupported key can only be removed.
        let target = try scene.redis.client()
        try target.command("SET", "filter", "older")
        let mended = try scene.run("verify", "lab")
        #expect(mended.end == .exited(0), "\(mended.output)\(mended.errorOutput)")
        #expect(mended.output.hasPrefix("lab: 11 keys compared, 1 of them differed, 1 of these is mended\n"))
        #expect(try target.command("EXISTS", "filter").int == 0)

        let refresh = try scene.run("refresh", "lab", "filter", "key:1")
        #expect(refresh.end == .exited(0), "\(refresh.output)\(refresh.errorOutput)")
        #expect(
            refresh.output == "lab: 2 keys asked for, 1 of them is as at the source\nlab: 1 is left out by policy\n")
        #expect(try scene.run("refresh", "lab", "--db", "3", "elsewhere").end == .exited(0))
        #expect(try incidents() == expected)
    }

    @Test func `waits for keys that cannot be read at the source until it is interrupted`() throws {
        let scene = try OperatorRequestScene()
        try scene.write(20)
        let target = try scene.redis.client()
        scene.master.refuse([Refusal("DUMP", reply: "LOADING not now", times: 1_000_000)])
        try target.command("SET", "key:3", "by a stranger")
        let verify = try scene.daemon.start(["verify", "lab"])
        try wait(until: "it has found the key") {
            try scene.verification["state"] as? String == "mending"
        }
        #expect(try scene.verification["waiting"] as? Int == 1)
        verify.signal(SIGINT)
        #expect(try verify.waitForEnd(timeout: .seconds(30)) == .exited(75))
        #expect(verify.errorOutput == "df2redis: lab: interrupted\n")
        #expect(try scene.verification["state"] as? String == "stopped")
    }

    @Test func `ends with the reason while an operator must act, and succeeds afterwards`() throws {
        let scene = try OperatorRequestScene()
        try scene.write(20)
        let target = try scene.redis.client()
        scene.master.refuse([Refusal("DUMP", reply: "NOPERM nobody may", times: 2)])
        try target.command("SET", "key:3", "by a stranger")
        let reason = "the source's ACL forbids DUMP: add +dump to the user (NOPERM nobody may)"
        let verify = try scene.run("verify", "lab")
        #expect(verify.end == .exited(1), "\(verify.output)\(verify.errorOutput)")
        #expect(
            verify.output.hasPrefix("lab: 20 keys compared, 1 of them differed, 1 waits to be read\nlab: \(reason)"))
        try wait(until: "status and health say it") {
            let table = try scene.run("status").output
            let health = try HTTPClient(socket: scene.daemon.controlSocket).request("/health")
            let detail = try health.object()["detail"] as? String ?? ""
            return table.contains("keys that differ are not read at the source: \(reason)") && health.status == 200
                && detail.contains(reason)
        }
        let refresh = try scene.run("refresh", "lab", "key:3")
        #expect(refresh.end == .exited(1), "\(refresh.output)\(refresh.errorOutput)")
        #expect(refresh.output.contains("1 waits to be read: \(reason)"), "\(refresh.output)")
        // The source does not refuse any more.
        let again = try scene.run("refresh", "lab", "key:3")
        #expect(again.end == .exited(0), "\(again.output)\(again.errorOutput)")
        #expect(try target.command("GET", "key:3").text == "3")
        try wait(until: "nothing is in the way") {
            (scene.daemon.status?["refreshes"] as? [String: Any])?["obstacle"] is NSNull
        }
    }

    @Test func `of single keys prints what it waits for, even without a terminal`() throws {
        let scene = try OperatorRequestScene(["target": ["silentSeconds: 3"]])
        try scene.write(3)
        scene.redis.pause()
        defer { scene.redis.resume() }
        let refresh = try scene.daemon.start(["refresh", "lab", "key:1"])
        try wait(until: "it says so") {
            refresh.errorOutput.contains("df2redis: lab: waiting: the target does not serve")
        }
        scene.redis.resume()
        #expect(try refresh.waitForEnd(timeout: .seconds(60)) == .exited(0), "\(refresh.errorOutput)")
        #expect(refresh.output == "lab: 1 key asked for, 1 of them is as at the source\n")
    }

    @Test func `joins one under way, and only the command that began it can stop it`() throws {
        let scene = try OperatorRequestScene()
        try scene.write(3000)
        let first = try scene.daemon.start(["verify", "lab", "--keys-per-second", "200"])
        try wait(until: "it compares") { try scene.verification["state"] as? String == "comparing" }
        let second = try scene.daemon.start(["verify", "lab"])
        try wait(until: "it has joined") { second.output.contains("is under way already, at 200 keys a second") }
        second.signal(SIGINT)
        #expect(try second.waitForEnd(timeout: .seconds(30)) == .exited(75))
        #expect(try scene.verification["state"] as? String == "comparing")
        first.signal(SIGTERM)
        #expect(try first.waitForEnd(timeout: .seconds(30)) == .exited(75))
        #expect(try scene.verification["state"] as? String == "stopped")
        // The next verification has a new number.
        #expect(try scene.run("verify", "lab", "--keys-per-second", "100000").end == .exited(0))
        #expect(try scene.verification["number"] as? Int == 2)
    }

    @Test func `continues after the connection to the source is lost`() throws {
        let scene = try OperatorRequestScene()
        try scene.write(2000)
        try scene.redis.client().command("DEL", "key:1999")
        let verify = try scene.daemon.start(["verify", "lab", "--keys-per-second", "1000"])
        try wait(until: "it compares") { try scene.verification["state"] as? String == "comparing" }
        scene.master.endSessions()
        #expect(try verify.waitForEnd(timeout: .seconds(60)) == .exited(0), "\(verify.errorOutput)")
        #expect(try scene.redis.client().command("GET", "key:1999").text == "1999")
    }

    @Test func `reports only once what it waits for, in its output and in the log`() throws {
        let scene = try OperatorRequestScene()
        try scene.write(20)
        scene.redis.kill()
        try scene.daemon.wait(forLine: "targetLost")
        let verify = try scene.daemon.start(["verify", "lab"])
        try wait(until: "it has been tried again") {
            scene.daemon.log.contains("comparing both sides at 5000 keys a second, as asked")
                && verify.errorOutput.contains("lab: waiting: ")
        }
        try scene.redis.restart()
        // The target has come back empty: the verification is repeated before or after the full sync.
        _ = try verify.waitForEnd(timeout: .seconds(90))
        let lines = verify.errorOutput.split(separator: "\n")
        #expect(Set(lines).count == lines.count, "\(verify.errorOutput)")
        #expect(scene.daemon.log.components(separatedBy: "comparing both sides at").count == 2)
    }

    @Test func `runs in the background with --no-wait`() throws {
        let scene = try OperatorRequestScene()
        try scene.write(100)
        try scene.redis.client().command("DEL", "key:1")
        let verify = try scene.run("verify", "lab", "--no-wait")
        #expect(verify.end == .exited(0))
        #expect(verify.output == "lab: comparing both sides, at 5000 keys a second\n")
        try wait(until: "it is done") { try scene.verification["state"] as? String == "done" }
        #expect(try scene.redis.client().command("GET", "key:1").text == "1")
    }

    @Test func `is accepted over the Unix socket only, with checked parameters`() throws {
        let scene = try OperatorRequestScene(["dashboard": ["addr: 127.0.0.1:0"]])
        let port = try scene.daemon.pagePort()
        for path in [
            "/api/verify?keysPerSecond=1", "/api/verify/stop?number=1", "/api/refresh?keysPerSecond=1", "/api/streams",
        ] {
            #expect(try HTTPClient(port: port).request(path, method: "POST").status == 405, "\(path)")
            #expect(try HTTPClient.get(path, port: port).status == 404, "\(path)")
        }
        let socket = scene.daemon.controlSocket
        for path in ["/api/verify", "/api/verify?keysPerSecond=0", "/api/verify?keysPerSecond=x", "/api/refresh"] {
            #expect(try HTTPClient(socket: socket).request(path, method: "POST").status == 400, "\(path)")
        }
        #expect(try HTTPClient(socket: socket).request("/api/verify", method: "DELETE").status == 405)
        #expect(try scene.verification["state"] as? String == "idle")
    }

    @Test func `is refused with the reason if refreshes are disabled, options are wrong or no task runs`() throws {
        let scene = try OperatorRequestScene(["refresh": ["keysPerSecond: 0"]])
        let refused = try scene.run("verify", "lab")
        #expect(refused.end == .exited(75))
        #expect(refused.errorOutput == "df2redis: lab: refresh.keysPerSecond is 0: no key is read at the source\n")
        for arguments in [["verify"], ["verify", "lab", "--keys-per-second", "0"], ["refresh", "lab"]] {
            let process = try scene.daemon.start(arguments)
            #expect(try process.waitForEnd(timeout: .seconds(30)) == .exited(64), "\(arguments)")
        }
        scene.daemon.process.kill()
        #expect(try scene.run("verify", "lab").end == .exited(69))
        #expect(try scene.run("refresh", "lab", "key").end == .exited(69))
    }
}

@Suite(.serialized) struct `Keys that an operator wants back` {
    @Test func `are read at the source and written to the target, whatever bytes their names have`() throws {
        let scene = try OperatorRequestScene()
        try scene.write(10)
        let binary: [UInt8] = [0, 255, 10, 34, 92, 97]
        scene.master.execute([[UInt8]("SET"), binary, [UInt8]("v")])
        scene.master.execute("SET other 1", database: 3)
        let target = try scene.redis.client()
        try wait(until: "they are applied") { try target.send([[UInt8]("EXISTS"), binary]).int == 1 }
        for number in 0..<10 { try target.command("SET", "key:\(number)", "other") }
        try target.command("SET", "only here", "1")
        _ = try target.send([[UInt8]("DEL"), binary])
        let refresh = try scene.run("refresh", "lab", "key:1", "key:2", "only here")
        #expect(refresh.end == .exited(0), "\(refresh.errorOutput)")
        #expect(refresh.output == "lab: 3 keys asked for, 3 of them are as at the source\n")
        #expect(try target.command("MGET", "key:1", "key:2", "key:3").array?.map(\.text) == ["1", "2", "other"])
        #expect(try target.command("EXISTS", "only here").int == 0)

        // Plain lines, lines of a check and dead letters, in one file.
        let lines = [
            "key:3", #"{"database":0,"kind":"value","type":"string","key":"key:4","keyHex":"6b65793a34"}"#,
            #"{"time":1,"kind":"conflict","flow":0,"database":0,"subject":"key","key":"\"key:5\"","reason":"r"}"#,
            #"{"time":1,"kind":"target-error","flow":0,"database":0,"subject":"SET","key":"\"\\x00\\xff\\x0a\\\"\\\\a\"","reason":"r"}"#,
            #"{"time":1,"kind":"script","flow":0,"database":0,"subject":"SCRIPT","key":"\"LOAD\"","reason":"r"}"#, "",
        ]
        let file = try scene.folder.write(lines.joined(separator: "\n"), to: "keys")
        let fromFile = try scene.run("refresh", "lab", "--from", file)
        #expect(fromFile.end == .exited(0), "\(fromFile.errorOutput)")
        #expect(fromFile.output == "lab: 4 keys asked for, 4 of them are as at the source\n")
        #expect(try target.command("MGET", "key:3", "key:4", "key:5").array?.map(\.text) == ["3", "4", "5"])
        #expect(try target.send([[UInt8]("GET"), binary]).text == "v")

        try target.command("SELECT", "3")
        try target.command("SET", "other", "2")
        #expect(try scene.run("refresh", "lab", "--db", "3", "other").end == .exited(0))
        #expect(try target.command("GET", "other").text == "1")
    }

    @Test func `of a database that the source lacks fail, and the others are still read`() throws {
        let scene = try OperatorRequestScene()
        try scene.write(10)
        let target = try scene.redis.client()
        try target.command("SET", "key:1", "other")
        let file = try scene.folder.write(
            [
                #"{"database":99,"keyHex":"78"}"#, #"{"database":0,"keyHex":"6b65793a31"}"#,
                #"{"database":99,"keyHex":"79"}"#,
            ].joined(separator: "\n"), to: "keys")
        let refresh = try scene.run("refresh", "lab", "--from", file)
        #expect(refresh.end == .exited(1), "\(refresh.output)\(refresh.errorOutput)")
        #expect(refresh.output.contains("1 of them is as at the source"), "\(refresh.output)")
        #expect(refresh.output.contains("2 could not be read or written"), "\(refresh.output)")
        #expect(try target.command("GET", "key:1").text == "1")
        #expect(scene.daemon.deadLetters.filter { $0.kind == "no-database" && $0.database == 99 }.count == 2)
        let figures = scene.daemon.status?["refreshes"] as? [String: Any]
        #expect(figures?["obstacle"] is NSNull)
        #expect(try scene.run("verify", "lab").end == .exited(0))
    }

    @Test func `whose names are truncated in a file are counted, with exit status 1`() throws {
        let scene = try OperatorRequestScene()
        let lines = [
            #"{"time":1,"kind":"conflict","flow":0,"database":0,"key":"\"long\"... (300 bytes)","reason":"r"}"#,
            #"{"database":0,"keyHex":"6"}"#,
        ]
        let file = try scene.folder.write(lines.joined(separator: "\n"), to: "keys")
        let refresh = try scene.run("refresh", "lab", "--from", file)
        #expect(refresh.end == .exited(1))
        #expect(refresh.output.contains("2 lines name no key, or one that is cut off"))
        #expect(try scene.run("refresh", "lab", "--from", scene.folder.file("nothing")).end == .exited(74))
    }

    @Test func `listed in the dead letters are read again, and a value over the limit fails again`() throws {
        let scene = try OperatorRequestScene(["policy": ["onError: skip"], "refresh": ["keysPerSecond: 50"]])
        let target = try scene.redis.client()
        try target.command("CONFIG", "SET", "proto-max-bulk-len", "1mb")
        scene.master.execute([[UInt8]("SET"), [UInt8]("long"), [UInt8](repeating: 120, count: 2 << 20)])
        scene.master.execute("SET short 1")
        try wait(until: "it is applied") { try target.command("EXISTS", "short").int == 1 }
        try wait(until: "it is left out") { scene.daemon.deadLetters.contains { $0.key == "long" } }
        let letters = scene.folder.file("state/lab.dead-letters.jsonl")
        let early = try scene.run("refresh", "lab", "--from", letters)
        #expect(early.end == .exited(1), "\(early.output)\(early.errorOutput)")
        #expect(early.output.contains("1 could not be read or written"))
        #expect(try target.command("EXISTS", "long").int == 0)
    }

    @Test(arguments: [false, true])
    func `are read again when the target loses them, without a full sync`(_ endsToo: Bool) throws {
        let scene = try OperatorRequestScene(["reconnect": ["initialMilliseconds: 20", "maxSeconds: 0.2"]])
        try scene.write(20)
        let target = try scene.redis.client()
        for number in 0..<10 { try target.command("SET", "key:\(number)", "by a stranger") }
        #expect(try scene.run("refresh", "lab", "key:0", "key:1", "key:2", "key:3", "key:4").end == .exited(0))
        try target.command("SAVE")
        // No record moves the position meanwhile.
        #expect(try scene.run("refresh", "lab", "key:5", "key:6", "key:7", "key:8", "key:9").end == .exited(0))
        try waitUntilEqual(RESPClient(port: scene.master.port), target)
        if endsToo { scene.daemon.process.kill() }
        scene.redis.kill()
        try scene.redis.restart()
        let second = endsToo ? try scene.start() : scene.daemon
        try second.wait(forLine: "the target has lost its last writes: 5 keys")
        try waitUntilEqual(RESPClient(port: scene.master.port), scene.redis.client())
        #expect(scene.master.fullSyncs == 1)
        #expect(second.log.contains("came back without the last of what was written beside the stream") != endsToo)
        try second.leave()
    }

    @Test func `can be requested by the hundred thousand`() throws {
        let scene = try OperatorRequestScene(["refresh": ["keysPerSecond: 50"]])
        try scene.write(10)
        // Keys that neither side has: each takes a read at the source.
        let lines = (0..<100_000).map { "nothing:\($0)" } + ["key:9"]
        try scene.redis.client().command("DEL", "key:9")
        let file = try scene.folder.write(lines.joined(separator: "\n"), to: "keys")
        let refresh = try scene.daemon.start(["refresh", "lab", "--from", file, "--keys-per-second", "100000"])
        try wait(until: "all are asked for, and some are read", timeout: .seconds(120)) {
            let figures = scene.daemon.status?["refreshes"] as? [String: Any]
            return figures?["asked"] as? Int == 100_001 && figures?["refreshed"] as? Int ?? 0 > 1000
        }
        #expect(try refresh.waitForEnd(timeout: .seconds(300)) == .exited(0), "\(refresh.errorOutput)")
        #expect(refresh.output == "lab: 100001 keys asked for, 100001 of them are as at the source\n")
        try wait(until: "the figures are up to date") {
            let figures = scene.daemon.status?["refreshes"] as? [String: Any]
            return figures?["asked"] as? Int == 100_001 && figures?["waiting"] as? Int == 0
        }
        #expect(try scene.redis.client().command("GET", "key:9").text == "9")
    }
}

@Suite(.serialized) struct `Group reads that the journal lacks` {
    private func scene(drain: Int = 2) throws -> OperatorRequestScene {
        let scene = try OperatorRequestScene(["shutdown": ["drainSeconds: \(drain)"]])
        scene.master.execute("XADD stream 1-1 f v")
        scene.master.execute("XGROUP CREATE stream g 0")
        try wait(until: "the group is at the target, and was read once") {
            let figures = scene.daemon.status?["refreshes"] as? [String: Any]
            return figures?["waiting"] as? Int == 0 && figures?["refreshed"] as? Int == 1
        }
        scene.master.execute("XREADGROUP GROUP g c NOACK STREAMS stream >")
        return scene
    }

    private func delivered(_ scene: OperatorRequestScene) throws -> String? {
        try scene.redis.client().command("XINFO", "GROUPS", "stream").array?.first?.array?[7].text
    }

    @Test func `are fetched at a leave, even by a task that has made no full sync`() throws {
        let scene = try scene()
        #expect(try delivered(scene) == "0-0")
        try scene.daemon.leave()
        #expect(try delivered(scene) == "1-1")
        #expect(scene.daemon.logs("1 streams that have groups of consumers are as at the source"))

        let next = try scene.start(sections: ["shutdown": ["drainSeconds: 1"]])
        try next.wait(forLine: "resuming at the checkpoint")
        try wait(until: "it has found the stream") {
            let streams = try? HTTPClient(socket: next.controlSocket).request("/api/streams").object()
            return streams?["complete"] as? Bool == true && streams?["known"] as? Int == 1
        }
        scene.master.execute("XADD stream 2-1 f v")
        scene.master.execute("XREADGROUP GROUP g c NOACK STREAMS stream >")
        try next.leave()
        #expect(try delivered(scene) == "2-1")
        #expect(scene.master.fullSyncs == 1)
        #expect(scene.master.violations.isEmpty)
    }

    @Test func `are not fetched if the source does not answer in time, and the leave stays orderly`() throws {
        let scene = try scene(drain: 1)
        scene.master.refuse([Refusal("DUMP", reply: "LOADING not now", times: 1_000_000)])
        try scene.daemon.leave()
        #expect(
            scene.daemon.log.contains(
                "of 1 streams that have groups of consumers 1 could not be read at the source in time"))
        #expect(try delivered(scene) == "0-0")
        #expect(scene.master.violations.isEmpty)
    }

    @Test func `are not fetched at a leave without a drain or with a lost target`() throws {
        let quick = try scene(drain: 0)
        try quick.daemon.leave()
        #expect(!quick.daemon.log.contains("groups of consumers"))

        let lost = try scene(drain: 1)
        lost.redis.kill()
        try wait(until: "the target is lost") { lost.daemon.status?["targetLost"] as? Bool == true }
        try lost.daemon.leave()
        #expect(!lost.daemon.log.contains("groups of consumers"))
    }
}

/// Reads by consumer groups, and what a real master journals of them.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `Groups of a real Dragonfly` {
    @Test func `are equal at both sides after a cut-over, with their pending entries`() throws {
        let master = try DragonflyServer(shards: 4)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let (source, target) = (try master.client(), try redis.client())
        for number in 0..<50 {
            try source.command("XADD", "stream:\(number)", "1-1", "f", "v")
            try source.command("XGROUP", "CREATE", "stream:\(number)", "g", "0")
        }
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        let writers = CountingWriters(port: master.port, clients: 2, patience: .seconds(2))
        try wait(until: "clients write") { writers.acknowledged > 1000 }
        // Consumers read until the cut-over: the pause does not stop them.
        for number in 0..<50 {
            try source.command("XREADGROUP", "GROUP", "g", "c", "STREAMS", "stream:\(number)", ">")
        }
        let folder = try TemporaryFolder("cutover")
        let cutover = try ChildProcess(
            BuiltProgram.daemon.path, ["cutover", "lab", "--no-verify"], output: folder.file("output"),
            error: folder.file("error"), environment: ["RUNTIME_DIRECTORY": daemon.folder.file("run")])
        #expect(try cutover.waitForEnd(timeout: .seconds(60)) == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        print(cutover.output)
        try daemon.expectExit(0)
        try wait(until: "the clients have gone") { writers.running == 0 }
        #expect(try writers.missing(at: target) == [])
        for number in 0..<50 {
            #expect(try target.command("XPENDING", "stream:\(number)", "g").array?.first?.int == 1, "\(number)")
        }
    }
}
