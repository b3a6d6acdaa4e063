import Link
import Redis
import Testing
import Wire

@testable import Replication

@Suite struct `The pace of retries` {
    @Test func `allows two attempts at once, then makes the pauses longer, and starts over after a calm`() {
        var pace = RetryPace()
        var now = ContinuousClock.now
        var pauses: [Duration] = []
        for _ in 0..<8 {
            let pause = pace.pause(at: now)
            pauses.append(pause)
            now += pause
            pace.began(at: now)
        }
        let expected = [0, 0, 20, 40, 80, 160, 250, 250].map { Duration.milliseconds($0) }
        #expect(pauses == expected)
        #expect(pace.pause(at: now + .milliseconds(200)) == .milliseconds(50), "the time since counts")
        #expect(pace.pause(at: now + RetryPace.calm) == .zero)
        var calm = pace
        calm.began(at: now + RetryPace.calm)
        #expect(calm.pause(at: now + RetryPace.calm) == .zero)
        pace.reset()
        #expect(pace.pause(at: now) == .zero)
    }

    @Test func `comes with a warning once a minute if attempts fail for the same reason`() {
        var log = RetryLog()
        let start = ContinuousClock.now
        func isWarning(_ attempt: Int, _ text: String, after seconds: Int) -> Bool {
            log.isWarning(attempt: attempt, text, at: start + .seconds(seconds))
        }
        #expect(isWarning(1, "the source closed the connection", after: 0))
        #expect(isWarning(2, "Connection refused", after: 1), "another reason")
        #expect(!isWarning(3, "Connection refused", after: 2))
        #expect(!isWarning(9, "Connection refused", after: 60))
        #expect(isWarning(10, "Connection refused", after: 61))
        #expect(!isWarning(11, "Connection refused", after: 71))
        #expect(isWarning(1, "Connection refused", after: 80), "it was followed in between")
    }

    @Test func `comes with the slot that obstructs the work`() {
        let slots = [KeySlot(of: "foo"), KeySlot(of: "bar")]
        let work = SlotWork.inquiry(in: slots) { _ in [Array("GET".utf8), Array("foo".utf8)] }
        #expect(work.obstacle == nil)
        for part in 0..<2 {
            var out = ByteBuffer()
            var expected: [NodeExpectation] = []
            work.send(part, asking: false, into: &out, &expected)
            let reply = part == 0 ? NodeReply.value(.bulk(nil)) : .error("TRYAGAIN Multiple keys request")
            _ = work.receive(
                reply, for: expected[0], ClusterTopology.Reading(origin: Endpoint(host: "h", port: 1)))
        }
        #expect(work.obstacle == "slot \(slots[1]): TRYAGAIN: it is being moved to another node")
    }
}
