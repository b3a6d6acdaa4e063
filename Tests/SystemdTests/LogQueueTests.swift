import Base
import Dispatch
import Testing

@testable import Systemd

struct LogQueueTests {
    @Test func `records are delivered in order, by another thread`() {
        let queue = LogQueue(limitBytes: 1000)
        let delivered = Lock<[Int]>([])
        for number in 0..<100 { queue.add(bytes: 10) { delivered.withLock { $0.append(number) } } }
        queue.flush()
        #expect(delivered.withLock { $0 } == Array(0..<100))
        #expect(queue.takeDropped() == 0)
    }

    @Test func `records beyond the limit are dropped and counted if the reader hangs`() {
        let queue = LogQueue(limitBytes: 100)
        let (mayGoOn, delivered) = (DispatchSemaphore(value: 0), Lock(0))
        queue.add(bytes: 40) { mayGoOn.wait() }
        for _ in 0..<5 { queue.add(bytes: 20) { delivered.withLock { $0 += 1 } } }
        #expect(queue.takeDropped() == 2)
        #expect(queue.takeDropped() == 0)
        mayGoOn.signal()
        queue.flush()
        #expect(delivered.withLock { $0 } == 3)
        // Now there is room again, for a record of any size.
        queue.add(bytes: 5000) { delivered.withLock { $0 += 1 } }
        queue.flush()
        #expect(delivered.withLock { $0 } == 4)
        #expect(queue.takeDropped() == 0)
    }

    @Test func `the process ends soon even if the reader hangs`() async {
        await #expect(processExitsWith: .success) {
            LogQueue.shared.add(bytes: 1) { DispatchSemaphore(value: 0).wait() }
        }
    }
}
