import Dispatch
import Lab
import Testing

@testable import Replication

@Suite struct `The watch over hanging queues` {
    @Test func `counts the missed polls of a blocked queue until it answers again`() throws {
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

    @Test func `reports a hang once, and its end once`() {
        var report = HangReport()
        #expect(report.update([]) == [])
        #expect(report.update(["b", "a"]) == [.hangs("a"), .hangs("b")])
        #expect(report.update(["b", "a"]) == [])
        #expect(report.update(["b", "c"]) == [.hangs("c"), .recovered("a")])
        #expect(report.update([]) == [.recovered("b"), .recovered("c")])
    }
}
