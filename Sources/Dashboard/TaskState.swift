package import Replication

/// The state of a task, derived from its notices. Pure: the time is passed in.
package struct TaskState: Sendable {
    /// A moment by both clocks.
    package struct Moment: Sendable {
        package var instant: ContinuousClock.Instant
        /// Unix time in milliseconds.
        package var milliseconds: Int64

        package init(instant: ContinuousClock.Instant, milliseconds: Int64) {
            (self.instant, self.milliseconds) = (instant, milliseconds)
        }
    }

    /// The longest silence of a healthy coordinator. Beats come once a second.
    private static let beatLimit = Duration.seconds(10)

    package private(set) var status: ReplicationStatus?
    package private(set) var totals = FlowTotals()
    /// When the phase began, in Unix milliseconds.
    package private(set) var phaseSince: Int64 = 0
    package private(set) var updatedAt: Int64 = 0
    private var lastNews: ContinuousClock.Instant?
    private var isAlive = true
    /// Why the source was lost; `nil` after it is followed again.
    private var sourceLoss: String?
    /// Why a session did not get as far as its flows, if the target does not serve.
    private var targetLoss: String?

    package init() {}

    package mutating func take(_ notice: ReplicatorNotice, at now: Moment) {
        lastNews = now.instant
        updatedAt = now.milliseconds
        switch notice {
        case .sessionEnded(let status):
            totals.sessionEnded(status)
        case .beat(let status, let isAlive):
            self.isAlive = isAlive
            update(status, at: now)
        case .phase(let status), .ready(let status), .loading(let status, _):
            update(status, at: now)
        }
    }

    private mutating func update(_ status: ReplicationStatus, at now: Moment) {
        totals.update(status)
        if self.status?.phase != status.phase { phaseSince = now.milliseconds }
        self.status = status
        switch status.phase {
        case .waiting:
            let isOfTarget = ["targetLost", "overflow"].contains(status.failure)
            sourceLoss = isOfTarget ? nil : status.detail ?? "the source is lost"
            targetLoss = status.failure == "targetLost" ? status.detail ?? "the target is lost" : nil
        // (The loss continues between two attempts.)
        case .connecting, .leaving: break
        case .fullSync, .stable, .catchingUp: (sourceLoss, targetLoss) = (nil, nil)
        }
        if let targetLoss {
            self.status?.isTargetLost = true
            self.status?.targetLoss = targetLoss
        }
    }

    /// Whether the task works as it should. It does, too, while it waits for a target that will come back.
    package func health(at now: ContinuousClock.Instant) -> Health {
        if let lastNews {
            let silence = lastNews.duration(to: now)
            if silence > Self.beatLimit {
                return .bad(
                    .noBeat, "the coordinator has not run for \(silence.components.seconds) s")
            }
        }
        if !isAlive { return .bad(.hanging, "a part of the task does not run; the log names it") }
        if let sourceLoss, status?.phase != .leaving { return .bad(.sourceLost, sourceLoss) }
        return .good
    }

    /// Whether the target can take the place of the source: the task is stable, and has less lag than `lagHigh`.
    package func readiness(lagHigh: Duration?, at now: ContinuousClock.Instant) -> Health {
        let health = health(at: now)
        guard health.isGood else { return health }
        guard let status, status.phase == .stable else {
            return .bad(.notStable, "the task is not stable: \(status?.summary ?? "starting")")
        }
        if status.isTargetLost {
            return .bad(.targetLost, "the target does not serve: \(status.targetLoss ?? status.summary)")
        }
        if let lagHigh, status.lag >= lagHigh {
            return .bad(.lagHigh, "the lag is \(status.lag.tenths) s, and not under \(lagHigh.tenths) s")
        }
        return .good
    }
}
