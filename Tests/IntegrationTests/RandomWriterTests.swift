import Lab
import Testing
import Wire

@Suite struct `Random writes` {
    @Test func `are the same for the same seed, and differ for another seed`() {
        func commands(_ seed: UInt64) -> [[[[UInt8]]]] {
            var generator = CommandGenerator(seed: seed, keys: 10)
            return (0..<200).map { _ in generator.nextBatch() }
        }
        #expect(commands(1) == commands(1))
        #expect(commands(1) != commands(2))
    }

    @Test func `fill both databases with values of every type, and contain no unknown command`() throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let writer = try RandomWriter(port: redis.port, seed: 7)
        try wait(until: "enough is written") { writer.commandCount > 20_000 }
        try writer.stop()

        let client = try redis.client()
        let data = try ServerData(reading: client)
        #expect(data.databases.keys.sorted() == [0, 3])
        let types = Set(data.databases.values.flatMap { $0.values.map(\.type) })
        #expect(types == ["string", "list", "set", "hash", "zset", "stream"])

        // Errors of state are part of the game (WRONGTYPE, no such key); errors of form are ours.
        let errors = try client.command("INFO", "errorstats").text ?? ""
        for kind in errors.split(whereSeparator: \.isNewline).filter({ $0.hasPrefix("errorstat_") }) {
            let name = kind.dropFirst("errorstat_".count).prefix { $0 != ":" }
            #expect(["ERR", "WRONGTYPE", "BUSYGROUP", "NOGROUP"].contains(name), "\(kind)")
        }
        let calls = try client.command("INFO", "commandstats").text ?? ""
        #expect(!calls.contains("rejected_calls=1"), "a command with a wrong number of arguments")
        #expect(calls.contains("cmdstat_spop") && calls.contains("cmdstat_exec") && calls.contains("cmdstat_eval"))
    }
}
