import Lab
import Testing

/// Generated data in each compression, cut at random places, through the real daemon: the same in the target.
@Suite(.serialized) struct `Generated data synced in every compression` {
    @Test func `is the same at the target for every compression and split`() throws {
        func migrated(_ options: [String]) throws -> RedisServer {
            let master = try SimulatorProcess(
                [
                    "--keys", "20000", "--size", "120", "--shape", "mixed", "--databases", "3", "--expiring", "0.3",
                    "--seed", "9",
                ]
                    + options)
            let redis = try RedisServer()
            let daemon = try Daemon(
                .migrate, .init(source: master.port, target: redis.port, sections: ["shutdown": ["drainSeconds: 0"]]))
            try daemon.expectExit(0)
            #expect(master.stop() == [], "what the master saw")
            return redis
        }
        let plain = try migrated(["--compression", "none"])
        defer { plain.stop() }
        for options in [
            ["lz4", "--split", "random:1:70000"], ["zstd", "--split", "random:2:3000"],
            ["lzf", "--split", "random:3:500"],
            ["none", "--split", "random:4:9000", "--version", "1.40.1"],
        ] {
            let other = try migrated(["--compression"] + options)
            defer { other.stop() }
            let comparison = try ServerComparison(source: plain.client(), target: other.client())
            #expect(comparison.keyCount == 20_000)
            #expect(comparison.isEqual, "\(options): \(Difference.report(comparison.differences))")
        }
    }
}
