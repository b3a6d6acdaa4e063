import DragonflySimulator
import Lab
import Testing
import Wire

/// `advanced.batchSize` and `advanced.qps`, as the target sees them.
@Suite(.serialized) struct `The pace of writes to the target` {
    private func calls(of command: String, _ client: RESPClient) throws -> Int {
        let text = try client.command("INFO", "commandstats").text ?? ""
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("cmdstat_\(command):calls=") }
        return line.flatMap { Int($0.drop { $0 != "=" }.dropFirst().prefix { $0.isNumber }) } ?? 0
    }

    private func withTask(
        _ advanced: [String], _ body: (SimulatedMaster, Daemon, RESPClient) throws -> Void
    ) throws {
        var options = MasterOptions()
        options.shardCount = 1
        let master = try SimulatedMaster(.live(nil), options: options)
        let port = try master.start()
        let redis = try RedisServer()
        for index in 0..<300 { master.execute("SET k:\(index) v") }
        let daemon = try Daemon(.replicate, .init(source: port, target: redis.port, sections: ["advanced": advanced]))
        defer {
            daemon.process.kill()
            master.stop()
            redis.stop()
        }
        try body(master, daemon, try redis.client())
        try daemon.leave()
        #expect(master.violations == [])
    }

    @Test func `has no transaction with more commands than batchSize`() throws {
        try withTask(["batchSize: 10"]) { master, daemon, client in
            try daemon.wait(forLine: "event=stable")
            master.send(journal: (0..<500).map { JournalEntry("SET j:\($0) v") }, flow: 0)
            try wait(until: "all is there") { try client.dataKeys == 800 }
            // What is set in one transaction is at most ten.
            #expect(try calls(of: "exec", client) >= 80)
        }
    }

    @Test func `is limited by qps`() throws {
        let start = ContinuousClock.now
        try withTask(["qps: 1000"]) { master, daemon, client in
            try daemon.wait(forLine: "event=stable")
            master.send(journal: (0..<1000).map { JournalEntry("SET j:\($0) v") }, flow: 0)
            try wait(until: "all is there") { try client.dataKeys == 1300 }
        }
        // 1,300 keys, of which 100 may come at once and 100 with the last of those.
        #expect(start.duration(to: .now) >= .seconds(1.1), "a lower limit, which no slow machine can break")
    }
}
