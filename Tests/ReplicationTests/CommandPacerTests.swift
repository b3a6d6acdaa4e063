import Link
import Testing

@testable import Replication

@Suite struct `The pace of commands` {
    /// A clock that stops until it is moved.
    private final class Clock: Sendable {
        private let time = Lock(ContinuousClock.now)

        var now: ContinuousClock.Instant { time.withLock { $0 } }

        func move(by duration: Duration) { time.withLock { $0 += duration } }
    }

    private let clock = Clock()

    private func pacer(_ commandsPerSecond: Int) -> CommandPacer {
        CommandPacer(commandsPerSecond: commandsPerSecond, now: { [clock] in clock.now })
    }

    @Test(arguments: [1, 7, 1000, 100_000_000], [1, 3, 500])
    func `is never above the limit, and reaches it`(_ rate: Int, _ batch: Int) {
        let pacer = pacer(rate)
        let start = clock.now
        var sent = 0
        for _ in 0..<1000 {
            if let wait = pacer.wait(toSend: batch) {
                #expect(wait > .zero)
                clock.move(by: wait)
            } else {
                sent += batch
            }
            let passed = start.duration(to: clock.now).secondsAsDouble
            // The share of a tenth of a second, and one transaction that was begun with the rest of it.
            let allowed = passed * Double(rate) + Double(CommandPacer.share(of: rate) + batch)
            #expect(Double(sent) <= allowed + 1)
        }
        let passed = start.duration(to: clock.now).secondsAsDouble
        #expect(Double(sent) >= passed * Double(rate) * 0.99 - 1)
    }

    @Test func `saves up unused capacity for at most a tenth of a second`() {
        let pacer = pacer(1000)
        clock.move(by: .seconds(3600))
        var sent = 0
        while pacer.wait(toSend: 1) == nil { sent += 1 }
        #expect(sent == 100)
    }
}
