import DragonflySimulator
import Lab
import Testing
import Wire

/// `fullSync.existing: flush`.
@Suite(.serialized) struct `A full sync that empties first` {
    @Test func `empties the task's databases, including former ones, and nothing else`() throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        for index in 0..<2000 { _ = master.execute("SET key:\(index) v") }
        _ = master.execute("SET once v", database: 2)
        _ = master.execute("SET other v", database: 3)
        for database in ["0", "2", "3", "5"] {
            try client.command("SELECT", database)
            for index in 0..<50 { try client.command("SET", "foreign:\(index)", "x") }
        }
        let configuration = Daemon.Configuration(
            source: master.port, target: redis.port, sections: ["fullSync": ["existing: flush"]])

        func expectEqual() throws {
            try client.command("SELECT", "5")
            #expect(try client.command("DBSIZE").int == 50)
            try client.command("FLUSHDB")
            let target = try ServerData(reading: client).withoutCheckpoints
            #expect(try ServerData(reading: RESPClient(port: master.port)).differences(in: target) == [])
            try client.command("SELECT", "5")
            for index in 0..<50 { try client.command("SET", "foreign:\(index)", "x") }
            try client.command("SELECT", "0")
            let record = try client.command("HGETALL", "df2redis:checkpoint:\(Daemon.taskName)").array
            #expect(record?.contains { $0.text == "flow:0" } == true, "the positions are spared")
        }

        let first = try Daemon(.replicate, configuration)
        defer { first.process.kill() }
        try first.wait(forLine: "event=stable")
        try expectEqual()
        try first.leave()

        // The source no longer has keys in database 2.
        _ = master.execute("DEL once", database: 2)
        _ = master.execute("DEL key:7")
        master.forgetBacklog()
        let second = try Daemon(.replicate, configuration)
        defer { second.process.kill() }
        try second.wait(forLine: "event=stable")
        try expectEqual()
        try second.leave()
        #expect(master.violations == [])
    }
}

@Suite(.serialized) struct `A database that is left out` {
    @Test func `still passes on a FLUSHALL of its clients`() throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        for index in 0..<100 { master.execute("SET key:\(index) v", database: 1) }
        let daemon = try Daemon(
            .replicate,
            .init(source: master.port, target: redis.port, sections: ["target": ["database: {0: skip, 1: 1}"]]))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        try client.command("SELECT", "1")
        #expect(try client.command("EXISTS", "key:7").int == 1)
        // From database 0, which a client selects by default.
        master.execute("FLUSHALL")
        master.execute("INCR n", database: 1)
        try daemon.wait(forLine: "FLUSHALL applied")
        try wait(until: "it is applied") { try client.command("GET", "n").text == "1" }
        #expect(try client.command("EXISTS", "key:7").int == 0)
        try daemon.leave()
    }
}
