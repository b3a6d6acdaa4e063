import Dashboard
import Testing

@testable import Service

@Suite struct `Keys that wait to be read at the source` {
    private let begin = ContinuousClock.now

    private func document(_ code: Health.Code, _ reason: String) -> HealthDocument {
        HealthDocument(.bad(code, reason))
    }

    @Test func `make the command ask the task for the reason after seconds without progress`() {
        var standstill = RefreshStandstill(at: begin)
        #expect(standstill.needsReason(waiting: 3, at: begin) == false)
        #expect(standstill.needsReason(waiting: 3, at: begin + .seconds(4)) == false)
        #expect(standstill.needsReason(waiting: 2, at: begin + .seconds(5)) == false, "one is done")
        #expect(standstill.needsReason(waiting: 2, at: begin + .seconds(10)) == true)
        #expect(standstill.needsReason(waiting: 0, at: begin + .seconds(20)) == false)
    }

    @Test func `have each kind of reason reported only once`() {
        var standstill = RefreshStandstill(at: begin)
        _ = standstill.needsReason(waiting: 1, at: begin)
        #expect(standstill.takeNewReason() == nil)
        standstill.explain(by: document(.targetLost, "the target: 5 s"), at: begin + .seconds(5))
        #expect(standstill.takeNewReason() == "the target: 5 s")
        #expect(standstill.needsReason(waiting: 1, at: begin + .seconds(9)) == false, "it is not asked all the time")
        standstill.explain(by: document(.targetLost, "the target: 10 s"), at: begin + .seconds(10))
        #expect(standstill.takeNewReason() == nil)
        #expect(standstill.reason == "the target: 10 s")
        standstill.explain(by: document(.notStable, "connecting"), at: begin + .seconds(15))
        #expect(standstill.takeNewReason() == "connecting")
        _ = standstill.needsReason(waiting: 0, at: begin + .seconds(16))
        #expect(standstill.reason == nil)
        standstill.explain(by: HealthDocument(.good), at: begin + .seconds(20))
        #expect(standstill.takeNewReason()?.contains("see the task's log") == true)
    }
}
