import Base
import Testing

@testable import Replication

@Suite struct `Fingerprints of keys that wait on the disk` {
    @Test func `are exact up to a limit, and never missing beyond it`() {
        var (waiting, generator) = (WaitingFingerprints(mostExact: 1000), SplitMix64(seed: 1))
        let keys = (0..<10_000).map { _ in generator.next() }
        for key in keys { waiting.insert(key) }
        #expect(keys.allSatisfy { waiting.mayContain($0) })
        #expect(keys.count { waiting.contains($0) } == 1000)
        // One in a hundred million.
        #expect((0..<10_000).count { _ in waiting.mayContain(generator.next()) } <= 1)
    }

    @Test func `stay in the filter until all of them are read back, in the order of the file`() {
        var waiting = WaitingFingerprints(mostExact: 2)
        for key in [1, 2, 3, 4] as [UInt64] { waiting.insert(key) }
        waiting.remove(1)
        #expect(!waiting.mayContain(1))
        // Asked for again while it is in the filter.
        #expect(!waiting.contains(3))
        waiting.insert(3)
        #expect(waiting.contains(3))
        waiting.remove(2)
        waiting.remove(3)
        waiting.remove(4)
        #expect(waiting.mayContain(3), "once more")
        waiting.remove(3)
        for key in [1, 2, 3, 4] as [UInt64] { #expect(!waiting.mayContain(key)) }
        waiting.insert(5)
        #expect(waiting.contains(5))
        waiting.removeAll()
        #expect(!waiting.mayContain(5))
    }

    @Test func `match hardly any other key with a million in the filter`() {
        var (filter, generator) = (KeyFilter(), SplitMix64(seed: 7))
        for _ in 0..<1_000_000 { filter.insert(generator.next()) }
        #expect((0..<100_000).count { _ in filter.mayContain(generator.next()) } <= 3)
    }
}
