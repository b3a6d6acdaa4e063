import Foundation
import Lab
import Link
import Testing

@testable import Service

@Suite struct `The monitor's alerts` {
    @Test func `are reported once when raised and once when cleared`() {
        var activeAlerts = ActiveAlerts()
        let (slow, log) = (Alert(name: "unanswered", message: "slow"), Alert(name: "log", message: "inflight 1"))
        #expect(activeAlerts.update([]) == [])
        #expect(activeAlerts.update([slow]) == [.raised(slow)])
        #expect(activeAlerts.update([Alert(name: "unanswered", message: "slower")]) == [])
        #expect(activeAlerts.update([slow, log]) == [.raised(log)])
        #expect(activeAlerts.update([log]) == [.cleared(slow)])
        #expect(activeAlerts.update([]) == [.cleared(log)])
        #expect(activeAlerts.update([slow]) == [.raised(slow)])
    }

    @Test func `about the source's log are cleared after a quiet time`() {
        var patterns = LogPatterns(["inflight bytes", "timed out"], quiet: .seconds(60))
        let start = ContinuousClock.now
        #expect(patterns.alert(["all is well"], at: start) == nil)
        let line = "W2026 streamer.cc:357] Waiting for inflight bytes 12"
        let alert = patterns.alert(["before", line, "after"], at: start)
        #expect(alert == Alert(name: "log", message: "the source's log says: \(line)"))
        #expect(patterns.alert([], at: start + .seconds(59)) == alert)
        #expect(patterns.alert([], at: start + .seconds(60)) == nil)
    }

    @Test func `about replicas are raised for those without progress`() {
        let info = """
            # Replication\r
            role:master\r
            connected_slaves:3\r
            slave0:ip=df2redis/prod@db,port=0,state=online,lag=7\r
            slave1:ip=10.0.0.9,port=6379,state=full_sync,lag=0\r
            slave2:broken\r
            """
        let replicas = ReplicaWatch.Replica.all(inInfo: info)
        #expect(
            replicas == [
                .init(name: "df2redis/prod@db", state: "online", lag: 7),
                .init(name: "10.0.0.9:6379", state: "full_sync", lag: 0),
            ])
        var watch = ReplicaWatch(limit: .seconds(10))
        let start = ContinuousClock.now
        var online = replicas[0]
        #expect(watch.alerts(replicas, at: start) == [])
        #expect(watch.alerts(replicas, at: start + .seconds(9)) == [])
        // The first one makes progress: its lag is smaller. The other one makes none.
        online.lag = 6
        let alerts = watch.alerts([online, replicas[1]], at: start + .seconds(10))
        #expect(alerts.map(\.name) == ["replica 10.0.0.9:6379"])
        #expect(alerts[0].message.contains("has been in the state full_sync for 10 s"))
        // A lag that only grows.
        online.lag = 8
        #expect(watch.alerts([online], at: start + .seconds(20)).map(\.name) == ["replica df2redis/prod@db"])
        online.lag = 0
        for second in 21...60 { #expect(watch.alerts([online], at: start + .seconds(second)) == []) }
    }
}

@Suite struct `The source's log` {
    private func append(_ text: String, to path: String) throws {
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.seekToEnd()
        try file.write(contentsOf: Data(text.utf8))
        try file.close()
    }

    @Test func `is followed from its end, through rotation and truncation`() throws {
        let folder = try Lab.TemporaryFolder("log")
        let path = try folder.write("old\n", to: "dragonfly.log")
        var log = LogFollower(path)
        defer { log.close() }
        #expect(try log.lines() == [])
        try append("one\ntw", to: path)
        #expect(try log.lines() == ["one"])
        try append("o\nthree\n", to: path)
        #expect(try log.lines() == ["two", "three"])
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        #expect(throws: SystemError.self) { try log.lines() }
        _ = try folder.write("four\n", to: "dragonfly.log")
        #expect(try log.lines() == ["four"])
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.truncate(atOffset: 0)
        try file.close()
        #expect(try log.lines() == [])
        try append("five\n", to: path)
        #expect(try log.lines() == ["five"])
    }

    @Test func `cannot be a folder, or a journal without a unit's name`() throws {
        let folder = try Lab.TemporaryFolder("log")
        var log = LogFollower(folder.path)
        #expect(throws: SystemError("open", errno: EISDIR, peer: folder.path)) { try log.lines() }
        let yaml = "source: {addr: \"a:1\"}\ntarget: {addr: \"b:2\"}\nmonitor: {log: 'journal:'}\n"
        #expect(problems(of: yaml) == ["3:16: monitor.log: names no unit: journal:<unit> of the source"])
    }

    @Test func `is followed further after a line of megabytes`() throws {
        let folder = try Lab.TemporaryFolder("log")
        let path = try folder.write("", to: "dragonfly.log")
        var log = LogFollower(path)
        defer { log.close() }
        #expect(try log.lines() == [])
        try append(String(repeating: "x", count: 3 << 20), to: path)
        #expect(try log.lines() == [])
        try append("\nnext\n", to: path)
        #expect(try log.lines().last == "next")
    }
}

@Suite struct `A hook` {
    @Test func `gets its input and environment, and is killed if it takes too long`() throws {
        let folder = try Lab.TemporaryFolder("hook")
        let program = try ChildProgram(
            ["/bin/sh", "-c", "cat > \"$PLACE\"; echo \"$WORD\" >> \"$PLACE\"; exit 3"],
            environment: ["PLACE": folder.file("said"), "WORD": "a b"], input: "json\n")
        #expect(program.wait(within: .seconds(30)) == 3)
        #expect(try String(contentsOfFile: folder.file("said"), encoding: .utf8) == "json\na b\n")
        #expect(throws: SystemError.self) { try ChildProgram(["df2redis-no-such-program"]) }
        let slow = try ChildProgram(["/bin/sh", "-c", "sleep 60"])
        #expect(slow.wait(within: .milliseconds(100)) == nil)
        #expect(kill(slow.process, 0) != 0)
    }
}
