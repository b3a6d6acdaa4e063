import Dispatch
import Lab
import Testing

@testable import Replication

@Suite struct `Whether a queue gets its turn` {
    @Test func `a queue that is blocked is told at each look, one that answers again is not`() throws {
        let queue = DispatchQueue(label: "test")
        let probe = QueueProbe("it", queue: queue)
        for _ in 0..<3 {
            #expect(probe.poll() == 0)
            try wait(until: "it answers") { probe.isAnswered }
        }
        let gate = DispatchSemaphore(value: 0)
        queue.async { gate.wait() }
        #expect((0..<4).map { _ in probe.poll() } == [0, 1, 2, 3])
        gate.signal()
        try wait(until: "it answers") { probe.isAnswered }
        #expect(probe.poll() == 0)
    }

    @Test func `what hangs is told once, and once that it is over`() {
        var report = HangReport()
        #expect(report.update([]) == [])
        #expect(report.update(["b", "a"]) == [.hangs("a"), .hangs("b")])
        #expect(report.update(["b", "a"]) == [])
        #expect(report.update(["b", "c"]) == [.hangs("c"), .recovered("a")])
        #expect(report.update([]) == [.recovered("b"), .recovered("c")])
    }
}
