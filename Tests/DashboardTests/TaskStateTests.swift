import Dragonfly
import Replication
import Testing

@testable import Dashboard

@Suite struct `The state of a task` {
    private var state = TaskState()
    private var now = TaskState.Moment(instant: .now, milliseconds: 1_800_000_000_000)

    private mutating func pass(_ time: Duration) {
        now = .init(instant: now.instant + time, milliseconds: now.milliseconds + time.components.seconds * 1000)
    }

    private mutating func beat(
        _ phase: Phase, isAlive: Bool = true, _ change: (inout ReplicationStatus) -> Void = { _ in }
    ) {
        var status = ReplicationStatus(phase: phase, source: "a:1", target: "b:2")
        status.flows = phase == .waiting || phase == .connecting ? [] : [.init(FlowID(0))]
        change(&status)
        pass(.seconds(1))
        state.take(.beat(status, isAlive: isAlive), at: now)
    }

    private var health: Health { state.health(at: now.instant) }
    private var readiness: Health { state.readiness(lagHigh: .seconds(30), at: now.instant) }

    private func code(_ health: Health) -> Health.Code? { if case .bad(let code, _) = health { code } else { nil } }

    @Test mutating func `is healthy from the start, and ready once the task is stable`() {
        #expect(health.isGood)
        #expect(code(readiness) == .notStable)
        for phase in [Phase.connecting, .fullSync, .catchingUp, .leaving] {
            beat(phase)
            #expect(health.isGood, "\(phase)")
            #expect(code(readiness) == .notStable, "\(phase)")
        }
        beat(.stable)
        #expect(readiness.isGood)
    }

    @Test mutating func `is healthy but not ready while the target is lost`() {
        beat(.stable) { $0.isTargetLost = true }
        #expect(health.isGood)
        #expect(code(readiness) == .targetLost)
        beat(.stable) { ($0.isTargetLost, $0.targetLoss) = (true, "connect to b:2: Connection refused") }
        #expect(readiness == .bad(.targetLost, "the target does not serve: connect to b:2: Connection refused"))
        // The target stays lost between two attempts: no session gets as far as its flows.
        beat(.waiting) { ($0.failure, $0.detail) = ("targetLost", "connect to b:2: Connection refused") }
        beat(.connecting)
        #expect(state.status?.isTargetLost == true && health.isGood)
        beat(.stable)
        #expect(state.status?.isTargetLost == false)
        for failure in ["targetLost", "overflow"] {
            beat(.waiting) { ($0.failure, $0.detail) = (failure, "the target is away") }
            #expect(health.isGood)
        }
    }

    @Test mutating func `is unhealthy from the loss of the source until the task follows it again`() {
        beat(.stable)
        beat(.waiting) { ($0.failure, $0.detail) = ("sourceLost", "connect to a:1: Connection refused") }
        #expect(health == .bad(.sourceLost, "connect to a:1: Connection refused"))
        #expect(code(readiness) == .sourceLost)
        beat(.connecting)
        #expect(code(health) == .sourceLost)
        beat(.leaving)
        #expect(health.isGood)
        beat(.stable)
        #expect(health.isGood)
        #expect(readiness.isGood)
    }

    @Test mutating func `is ready if the lag is below the limit, or if there is no limit`() {
        beat(.stable) { $0.flows[0].lag = .milliseconds(29_999) }
        #expect(readiness.isGood)
        beat(.stable) { $0.flows[0].lag = .seconds(30) }
        #expect(readiness == .bad(.lagHigh, "the lag is 30.0 s, and not under 30.0 s"))
        #expect(state.readiness(lagHigh: nil, at: now.instant).isGood)
    }

    @Test mutating func `is unhealthy if a part of the task or its coordinator hangs`() {
        beat(.stable, isAlive: false)
        #expect(code(health) == .hanging)
        beat(.stable)
        #expect(health.isGood)
        pass(.seconds(11))
        #expect(health == .bad(.noBeat, "the coordinator has not run for 11 s"))
    }

    @Test mutating func `knows when the phase began`() {
        beat(.fullSync)
        let begin = now.milliseconds
        beat(.fullSync)
        #expect(state.phaseSince == begin)
        beat(.stable)
        #expect(state.phaseSince == begin + 2000)
    }

    // MARK: Figures over sessions

    private func figures(session: Int, _ bytes: [UInt64]) -> ReplicationStatus {
        var status = ReplicationStatus(phase: .stable, source: "a:1", target: "b:2")
        status.session = session
        status.flows = bytes.enumerated().map { index, count in
            var flow = ReplicationStatus.Flow(FlowID(index))
            (flow.receivedBytes, flow.appliedBytes, flow.records) = (count, count / 2, Int(count))
            return flow
        }
        return status
    }

    private var received: [UInt64] { state.totals.flows.map(\.receivedBytes) }

    @Test mutating func `has totals that never decrease over sessions with any number of flows`() {
        state.take(.phase(figures(session: 1, [10, 20])), at: now)
        #expect(received == [10, 20])
        state.take(.sessionEnded(figures(session: 1, [15, 25])), at: now)
        #expect(received == [15, 25])
        // A beat that was late, and the pause between two sessions.
        state.take(.beat(figures(session: 1, [14, 24]), isAlive: true), at: now)
        state.take(.beat(.init(phase: .waiting, source: "a:1", target: "b:2"), isAlive: true), at: now)
        #expect(received == [15, 25])
        state.take(.beat(figures(session: 2, [1, 1, 1]), isAlive: true), at: now)
        #expect(received == [16, 26, 1])
        state.take(.beat(figures(session: 2, [0, 0, 0]), isAlive: true), at: now)
        #expect(received == [16, 26, 1])
        state.take(.sessionEnded(figures(session: 2, [2, 2, 2])), at: now)
        state.take(.beat(figures(session: 3, [5]), isAlive: true), at: now)
        #expect(received == [22, 27, 2])
        #expect(state.totals.all.receivedBytes == 51)
        #expect(state.totals.all.records == 51)
    }
}
