import Redis
import Testing
import Wire

/// Numbers of the stream that a client of the source may have chosen.
@Suite struct `Extreme numbers in records` {
    private let now = TargetUnderTest.now
    /// What v1.36.0 makes of every longer TTL: 2^28 - 1 seconds.
    private static let longest: Int64 = 268_435_455_000

    @Test(arguments: [
        (Int64.max, false, TargetUnderTest.now + longest), (Int64.max, true, TargetUnderTest.now + longest),
        (longest + 1, false, TargetUnderTest.now + longest), (longest - 1, false, TargetUnderTest.now + longest - 1),
        (TargetUnderTest.now + longest + 1, true, TargetUnderTest.now + longest),
        (TargetUnderTest.now + 5, true, TargetUnderTest.now + 5), (5, true, -2), (0, true, -1),
    ])
    func `are limited in a RESTORE's TTL as they are at the source`(
        _ ttl: Int64, _ isAbsolute: Bool, _ expected: Int64
    ) async throws {
        let target = try await TargetUnderTest(setUp: [["SET", "s", "value"]])
        let payload = try target.dump("s")
        let options = isAbsolute ? [Array("ABSTTL".utf8)] : []
        #expect(
            try target.apply([Array("RESTORE".utf8), Array("to".utf8), Array("\(ttl)".utf8), payload] + options)
                == .written)
        #expect(try target.integer("PEXPIRETIME", "to") == Int(expected))
    }

    /// Commands with each number at each place; whatever the outcome, nothing traps.
    @Test func `never make the rewriter trap`() throws {
        let numbers = ["0", "-1", "\(Int64.max)", "\(Int64.min)", "\(UInt64.max)", "4294967296", "4294967295", "1e400"]
        let lines = [
            "RESTORE k # payload", "RESTORE k # payload ABSTTL", "PEXPIREAT k #", "EXPIRE k #", "PEXPIRE k #",
            "SADDEX k # m", "SADDEX k KEEPTTL # m", "FIELDEXPIRE k # f", "HSETEX k # f v", "HSETEX k NX KEEPTTL # f v",
            "HEXPIRE k # FIELDS 1 f", "HEXPIRE k # NX FIELDS # f", "HEXPIRE k 1 FIELDS # f", "XCLAIM k g c # 1-1",
            "XAUTOCLAIM k g c # 0-0 COUNT #", "SORT k LIMIT # # STORE d", "SET k v PX #", "MOVE k #",
            "DFLYCLUSTER FLUSHSLOTS # #", "INCRBYFLOAT k #", "XSETID k #-#", "SCRIPT #", "PREPEND k #",
        ]
        for profile in [TargetUnderTest.redis70, TargetUnderTest.redis74] {
            for line in lines {
                for number in numbers {
                    var rewriter = JournalRewriter(profile: profile, source: .v137)
                    let words = words(line.replacing("#", with: number))
                    _ = try rewriter.rewrite(words.map { Array($0.utf8) }, into: CommandBatch())
                }
            }
        }
    }
}
