import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A source whose clock differs from the daemon's: the times in its stream are those of its own clock.
@Suite(.serialized) struct `A source whose clock differs from ours` {
    @Test(arguments: [5_000, -5_000] as [Int64]) func `keeps its TTLs at the target, and the skew is logged`(
        _ skew: Int64
    ) throws {
        let scene = try RedisScene(from: startedMaster(shards: 1) { $0.clockSkew = skew }, into: RedisServer())
        let (master, client) = (scene.master, try scene.client)
        func sourceTime() -> Int64 { Int64(Date().timeIntervalSince1970 * 1000) + skew }
        let daemon = try scene.follow()
        func journal(_ line: String) { master.send(journal: [JournalEntry(line)], flow: 0) }
        // A plain GETEX journals the source's present time; a real expiry is later than the margin.
        journal("SET getex v")
        journal("PEXPIREAT getex \(sourceTime())")
        journal("SET real v")
        let deadline = sourceTime() + 600_000
        journal("PEXPIREAT real \(deadline)")
        journal("SET end v")
        try wait(until: "the last record is applied") { try client.command("GET", "end").text == "v" }
        #expect(try client.command("PEXPIRETIME", "getex").int == -1)
        // The guard of TTLs adds its margin.
        #expect(try client.command("PEXPIRETIME", "real").int ?? 0 >= deadline)
        #expect(daemon.logs(skew > 0 ? "ms ahead of ours" : "ms behind ours"))
        try daemon.leave()
        #expect(daemon.deadLetters == [])
        #expect(master.violations == [])
    }
}
