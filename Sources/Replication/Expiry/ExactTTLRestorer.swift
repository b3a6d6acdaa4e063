import Dragonfly
import Logging
import Redis

/// Gives the target the source's exact deadlines at the end of a task; after that the target lives by its own clock.
///
/// Nobody knows whether the end is final or a restart, and the source may extend deadlines meanwhile. So a deadline that
/// would pass during a restart gets `dueMargin`.
///
/// It is run only for flows that have applied everything they received and have nothing on its way: a command that is yet
/// to be applied may extend one of these deadlines.
struct ExactTTLRestorer {
    private static let keysPerCommand = 500

    /// The folder `<task>.expiry`.
    let folder: String
    let control: TargetControl
    let logger: Logger
    let clock: @Sendable () -> Int64
    /// A deadline within this many milliseconds is set this many milliseconds later: 0, or `ExpiryGuard.leaveMargin`.
    var dueMargin: Int64 = 0

    /// Restores the deadlines.
    ///
    /// - Parameter flows: the flows to restore; `nil` for all that have left notes.
    /// - Returns: the flows with keys that keep a later deadline, because time ran out or the target is away.
    func run(flows: Set<FlowID>? = nil, within limit: Duration) async -> [FlowID] {
        let deadline = ContinuousClock.now + limit
        var unfinished: [FlowID] = []
        var isTargetAway = false
        for name in WheelFolder.entries(of: folder) {
            guard let number = Int(name), flows?.contains(FlowID(number)) != false,
                let wheel = ExpiryWheel(reopening: "\(folder)/\(name)")
            else { continue }
            var isThrough = false
            do {
                if !isTargetAway { isThrough = try await restore(wheel, until: deadline) }
            } catch {
                isTargetAway = true
                logger.warning(
                    "the source's exact TTLs cannot be restored: \(error)",
                    metadata: ["flow": "\(name)", "phase": "leaving"])
            }
            if !isThrough { unfinished.append(FlowID(number)) }
            wheel.close()
        }
        return unfinished
    }

    /// - Returns: `false` if time ran out.
    private func restore(_ wheel: ExpiryWheel, until deadline: ContinuousClock.Instant) async throws -> Bool {
        let margins = ExpiryGuard.margins(and: [wheel.margin])
        let restartEnd = clock() + dueMargin
        var group: [(key: [UInt8], deadline: Int64)] = []
        var (database, margin) = (UInt32(0), Int64(0))
        func flush() async throws {
            guard !group.isEmpty else { return }
            try await control.setDeadlines(group, database: database, margin: margin, margins: margins)
            group = []
        }
        while ContinuousClock.now < deadline {
            guard let (entry, time) = wheel.next(now: 0, margin: 0) else {
                try await flush()
                return true
            }
            let own = time < restartEnd ? dueMargin : 0
            if entry.database != database || own != margin || group.count == Self.keysPerCommand { try await flush() }
            (database, margin) = (entry.database, own)
            group.append((entry.key, time))
        }
        try await flush()
        return false
    }
}
