import Base
import Logging
import Testing

@testable import Systemd

struct RateLimiterTests {
    /// A clock that a test advances.
    private final class TestClock: Sendable {
        private let time = Lock(ContinuousClock.now)

        var now: ContinuousClock.Instant { time.withLock { $0 } }
        func advance(_ duration: Duration) { time.withLock { $0 += duration } }
    }

    private let clock = TestClock()

    private func limiter(burst: Int) -> RateLimiter {
        RateLimiter(burst: burst, interval: .seconds(30)) { [clock] in clock.now }
    }

    private func logger(_ limiter: RateLimiter, _ log: LogCapture) -> Logger {
        Logger(label: "test") { _ in RateLimitedLogHandler(log.handler, limiter: limiter) }
    }

    @Test func `the first records of an interval pass, the others are counted and summarized after it`() {
        let log = LogCapture()
        let logger = logger(limiter(burst: 2), log)
        func complain(_ number: Int) { logger.warning("refused \(number)") }
        for number in 1...5 { complain(number) }
        #expect(log.messages == ["refused 1", "refused 2"])
        clock.advance(.seconds(30))
        complain(6)
        #expect(
            log.messages.dropFirst(2) == [
                "3 more like this within 30.0 seconds not shown; the last: refused 5", "refused 6",
            ])
        #expect(log.events[2].level == .warning)
        #expect(log.events[2].metadata?["suppressed"] == "3")
    }

    @Test func `an interval without suppressed records has no summary`() {
        let limiter = limiter(burst: 2)
        #expect(limiter.admit(event("a"), kind: "k").isAdmitted)
        clock.advance(.seconds(31))
        #expect(limiter.dueSummaries().isEmpty)
        #expect(limiter.admit(event("b"), kind: "k").isAdmitted)
        #expect(limiter.admit(event("c"), kind: "k").isAdmitted)
        #expect(!limiter.admit(event("d"), kind: "k").isAdmitted)
    }

    @Test func `each kind is limited separately`() {
        let limiter = limiter(burst: 1)
        #expect(limiter.admit(event("a"), kind: "a").isAdmitted)
        #expect(!limiter.admit(event("a"), kind: "a").isAdmitted)
        #expect(limiter.admit(event("b"), kind: "b").isAdmitted)
    }

    @Test func `a summary comes with the next record of any kind, or by the timer`() {
        let limiter = limiter(burst: 1)
        for _ in 1...2 { _ = limiter.admit(event("a"), kind: "a") }
        clock.advance(.seconds(10))
        for _ in 1...2 { _ = limiter.admit(event("b"), kind: "b") }
        clock.advance(.seconds(20))
        #expect(limiter.admit(event("c"), kind: "c").summaries.map(\.message.description).count == 1)
        #expect(limiter.dueSummaries().isEmpty)
        clock.advance(.seconds(10))
        #expect(limiter.dueSummaries().map(\.message.description).map { $0.hasSuffix("the last: b") } == [true])
    }

    @Test func `at the end all summaries are given once`() {
        let limiter = limiter(burst: 1)
        for _ in 1...3 { _ = limiter.admit(event("a"), kind: "a") }
        #expect(limiter.allSummaries().count == 1)
        #expect(limiter.allSummaries().isEmpty)
    }

    @Test func `each log statement and flow is a kind of its own`() {
        let log = LogCapture()
        let logger = logger(limiter(burst: 1), log)
        for flow in 0..<4 {
            for _ in 1...2 { logger.info("flow open", metadata: ["flow": "\(flow)"]) }
        }
        logger.info("another statement")
        #expect(log.messages == ["flow open", "flow open", "flow open", "flow open", "another statement"])
    }

    @Test func `metadata can set the kind`() {
        let log = LogCapture()
        let logger = logger(limiter(burst: 1), log)
        logger.info("one", metadata: ["kind": "key"])
        logger.info("two", metadata: ["kind": "key"])
        #expect(log.messages == ["one"])
    }

    @Test func `a summary has the metadata of the suppressed records, not of the next record's logger`() {
        let log = LogCapture()
        let limiter = limiter(burst: 1)
        var first = logger(limiter, log)
        first[metadataKey: "flow"] = "1"
        var second = logger(limiter, log)
        second[metadataKey: "flow"] = "2"
        second[metadataKey: "phase"] = "stable"
        for _ in 1...2 { first.info("late") }
        clock.advance(.seconds(30))
        second.info("fine")
        #expect(log.events.count == 3)
        #expect(log.events[1].metadata == ["flow": "1", "suppressed": "1"])
        #expect(log.events[2].metadata == ["flow": "2", "phase": "stable"])
    }

    @Test func `records beyond the maximum number of kinds pass rather than vanish`() {
        let limiter = limiter(burst: 1)
        for number in 0..<RateLimiter.maximumKinds { _ = limiter.admit(event("x"), kind: "\(number)") }
        for _ in 1...3 { #expect(limiter.admit(event("x"), kind: "one more").isAdmitted) }
        clock.advance(.seconds(30))
        #expect(limiter.admit(event("x"), kind: "one more").isAdmitted)
        #expect(!limiter.admit(event("x"), kind: "one more").isAdmitted)
    }

    @Test func `concurrent records are each admitted or counted exactly once`() async {
        let limiter = limiter(burst: 100)
        let admitted = await withTaskGroup(of: Int.self) { group in
            for _ in 1...8 {
                group.addTask { (1...1_000).count { _ in limiter.admit(event("x"), kind: "k").isAdmitted } }
            }
            return await group.reduce(0, +)
        }
        #expect(admitted == 100)
        #expect(limiter.allSummaries().first?.metadata?["suppressed"] == "7900")
    }
}
