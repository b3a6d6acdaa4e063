import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

@Suite(.serialized) struct `A second process of a task` {
    private func withFirst(_ body: (SimulatedMaster, RESPClient, Daemon, () throws -> Daemon) throws -> Void) throws {
        let master = try SimulatedMaster(.live(nil))
        _ = try master.start()
        let redis = try RedisServer()
        defer {
            master.stop()
            redis.stop()
        }
        // Two folders, so that each has a log of its own, with one state directory.
        let configuration = Daemon.Configuration(
            source: master.port, target: redis.port, sections: ["shutdown": ["drainSeconds: 0"]])
        let first = try Daemon(.replicate, configuration)
        defer { first.process.kill() }
        try first.wait(forLine: "event=stable")
        let other = try TemporaryFolder("daemon")
        try FileManager.default.createSymbolicLink(
            atPath: other.file("state"), withDestinationPath: first.folder.file("state"))
        try body(master, redis.client(), first) { try Daemon(.replicate, configuration, folder: other) }
    }

    @Test func `ends and names the first process, which goes on`() throws {
        try withFirst { master, client, first, startSecond in
            let second = try startSecond()
            try second.expectExit(75)
            #expect(second.logs("the task runs already: process \(first.process.pid) holds"))
            master.execute("SET a 1")
            try wait(until: "the first applies it") { try client.command("GET", "a").text == "1" }
            try first.leave()
            #expect(!first.log.contains("event=targetLost"), "nobody has ended its connections")
            #expect(master.violations == [])
        }
    }

    @Test func `waits a moment for a first process that is about to end`() throws {
        try withFirst { master, client, first, startSecond in
            let second = try startSecond()
            defer { second.process.kill() }
            try second.wait(forLine: "event=started")
            try first.leave()
            try second.wait(forLine: "event=stable")
            master.execute("SET a 1")
            try wait(until: "the second applies it") { try client.command("GET", "a").text == "1" }
            try second.leave()
        }
    }

    @Test func `starts if the first was killed and has left its lock file`() throws {
        try withFirst { _, _, first, startSecond in
            first.process.kill()
            let second = try startSecond()
            defer { second.process.kill() }
            try second.wait(forLine: "event=stable")
            try second.leave()
        }
    }
}
