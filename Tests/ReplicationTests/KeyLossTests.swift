import Redis
import Testing
import Wire

@testable import Replication

@Suite struct `Keys that the target has removed by itself` {
    private func figures(_ run: String, evicted: Int, expired: Int = 0) -> TargetFigures {
        TargetFigures(ServerInfo("run_id:\(run)\r\nevicted_keys:\(evicted)\r\nexpired_keys:\(expired)\r\n"))
    }

    @Test func `are counted from the first look on, through restarts and a reset of the counters`() {
        var loss = KeyLoss()
        #expect(loss.update(figures("a", evicted: 100, expired: 7)) == .init())
        #expect(loss.update(figures("a", evicted: 105, expired: 9)) == .init(evicted: 5, expired: 2))
        #expect(loss.update(figures("a", evicted: 105, expired: 9)) == .init())
        #expect(loss.update(figures("a", evicted: 3, expired: 0)) == .init(evicted: 3, expired: 0), "CONFIG RESETSTAT")
        #expect(loss.update(figures("b", evicted: 4, expired: 1)) == .init(evicted: 4, expired: 1), "another process")
    }

    @Test func `do not include an expired owner record, whichever side notices it first`() {
        var late = ExpiredKeys(lapses: 0)
        #expect(late.update(expired: 3, lapses: 0) == 0)
        #expect(late.update(expired: 0, lapses: 1) == 2)
        #expect(late.update(expired: 0, lapses: 1) == 0)
        var early = ExpiredKeys(lapses: 4)
        #expect(early.update(expired: 0, lapses: 5) == 0)
        #expect(early.update(expired: 1, lapses: 5) == 0)
        #expect(early.update(expired: 0, lapses: 5) == 0)
    }

    @Test func `are expected unless memory is unlimited or the policy is noeviction`() {
        func mayEvict(_ limit: Int, _ policy: String) -> Bool {
            TargetFigures(ServerInfo("# Memory\r\nmaxmemory:\(limit)\r\nmaxmemory_policy:\(policy)\r\n")).mayEvict
        }
        #expect(mayEvict(1 << 20, "allkeys-lru"))
        #expect(mayEvict(1 << 20, "volatile-ttl"))
        #expect(!mayEvict(0, "allkeys-lru"))
        #expect(!mayEvict(1 << 20, "noeviction"))
    }

    @Test func `are read together with the number of all keys`() {
        let info = "# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=0\r\ndb12:keys=7,expires=0,avg_ttl=0\r\n"
        #expect(TargetFigures(ServerInfo(info)).keys == 12)
    }
}
