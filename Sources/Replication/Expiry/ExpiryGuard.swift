import Dragonfly
import Link
import Logging
import Redis
import Wire

/// Keeps the target from expiring by its own clock what the stream has not expired yet.
///
/// A Redis expires keys by its own clock, and nothing switches that off. So it is given later deadlines than the source's
/// where the source's come near; the source journals each expiry as a DEL, which removes the key in time.
///
/// | the flow is | a deadline within `horizon` is written with | any other |
/// |---|---|---|
/// | level | `levelMargin` | as it is |
/// | lagging, or catching up: in a full sync, or continued | a day | as it is |
///
/// The margin while level is there because nothing can be written to a target that has stopped: whatever falls due
/// meanwhile, for up to the guard window W, must carry its margin before. Margin and horizon are 1.5 W, since up to W / 4 of
/// lag still counts as level. Once the flow lags, what is near gets the day before anything more is applied, as the lag may
/// grow to any length; when it is level again, the margin for that; at the leave, its exact deadline (`ExactTTLRestorer`).
/// A full sync has megabytes on their way to the target: how long that takes a slow one shows only when it is too late.
///
/// A margin while level cannot be avoided: a Redis that has stopped deletes at its first step what is overdue by its clock,
/// so a key that is to survive a stop of W must read W or more at every moment before it.
///
/// A target in import mode (`ImportMode`) expires nothing until the leave: no margins are written, but what is near is
/// known.
///
/// The margins end in odd milliseconds, so that a deadline with one is not mistaken for another one without.
///
/// Not Sendable: it lives on its applier's queue.
final class ExpiryGuard: TargetDeadlines {
    struct Window: Equatable, Sendable {
        /// How long the target, the network or this process may stop without a key being lost.
        var milliseconds: Int64

        init(_ length: Duration) { milliseconds = length.milliseconds }

        /// At least what a leave has to know of (`leaveMargin`).
        var horizon: Int64 { max(milliseconds * 3 / 2, 12_000) }
        var levelMargin: Int64 { milliseconds == 0 ? 0 : milliseconds * 3 / 2 + 337 }
        /// With so much lag the flow is no longer level, and below the other it is again.
        var laggingThreshold: Int64 { max(milliseconds / 4, 500) }
        var levelThreshold: Int64 { laggingThreshold / 2 }
    }

    enum State: Equatable { case catchingUp, lagging, level }

    static let laggingMargin: Int64 = 86_400_613
    /// What falls due within so many milliseconds of a leave is that late, for the restart that may follow.
    static let leaveMargin: Int64 = 10_171
    private static let keysPerCommand = 100

    /// The source's deadlines.
    let keyExpiries: ExpiryWheel
    private let window: Window
    /// The target does not expire anything by itself.
    private let onlyNotes: Bool
    private let clock: @Sendable () -> Int64
    private(set) var state = State.catchingUp
    private var now: Int64
    /// Margins that deadlines at the target may have.
    private let margins: [Int64]

    /// - Parameters:
    ///   - window: `nil`: the target does not expire anything by itself.
    init(keyExpiries: ExpiryWheel, window: Window?, clock: @escaping @Sendable () -> Int64) {
        self.keyExpiries = keyExpiries
        onlyNotes = window == nil
        self.window = window ?? Window(.zero)
        self.clock = clock
        now = clock()
        margins = Self.margins(and: [self.window.levelMargin, keyExpiries.margin])
        keyExpiries.margin = self.window.levelMargin
        keyExpiries.advance(to: now + self.window.horizon)
    }

    /// Opens or begins the flow's wheel, as its start asks for.
    ///
    /// - Parameter next: where a continued flow begins; `nil` for a full sync.
    /// - Throws: `SystemError`, when the files cannot be made.
    convenience init(
        _ start: FlowStart.Expiry, flow: FlowID, continuingAt next: UInt64?, context: FlowContext
    ) throws(SystemError) {
        let wheel = try ExpiryWheel(folder: start.folder, origin: start.origin, continuingAt: next)
        if next != nil, !wheel.isContinued, start.window != nil {
            context.logger.warning(
                "the record of the target's TTLs is missing or outdated: TTLs written before this start are not protected, and may be late, until the source writes them again",
                metadata: ["flow": "\(flow)"])
        }
        self.init(keyExpiries: wheel, window: start.window.map { Window($0) }, clock: context.clock)
    }

    /// Every margin that a deadline at the target may have.
    static func margins(and levelMargins: [Int64]) -> [Int64] {
        Array(Set([0, laggingMargin, leaveMargin] + levelMargins)).sorted()
    }

    private var margin: Int64 {
        if onlyNotes { return 0 }
        return switch state {
        case .catchingUp, .lagging: Self.laggingMargin
        case .level: window.levelMargin
        }
    }

    // MARK: What the stream does

    func deadline(_ deadline: Int64, key: RawSpan, database: UInt32) -> Int64 {
        keyExpiries.note(key, database: database, deadline: deadline) == true ? deadline + margin : deadline
    }

    func mayExpire(_ key: RawSpan, database: UInt32) -> Bool {
        !keyExpiries.deadlines(of: key, database: database).isEmpty
    }

    func removed(_ key: RawSpan, database: UInt32) {
        if !keyExpiries.isEmpty { keyExpiries.remove(key, database: database) }
    }

    func moved(
        _ key: RawSpan, database: UInt32, to destination: RawSpan, database destinationDatabase: UInt32, mayStay: Bool
    ) {
        guard !keyExpiries.isEmpty else { return }
        for deadline in keyExpiries.deadlines(of: key, database: database) {
            keyExpiries.noteAlternative(destination, database: destinationDatabase, deadline: deadline)
        }
        if !mayStay { keyExpiries.remove(key, database: database) }
    }

    // MARK: The lag

    /// Decides whether the flow lags, before what arrived at `oldestArrival` is decoded.
    ///
    /// - Parameters:
    ///   - oldestArrival: Unix time in milliseconds; `nil`: nothing waits to be decoded.
    ///   - unconfirmed: for how long the oldest batch on its way to the target has been there, in milliseconds.
    func updateLag(oldestArrival: Int64?, unconfirmed: Int64 = 0, isInFullSync: Bool = false) {
        now = max(clock(), now)
        let lag = max(oldestArrival.map { now - $0 } ?? 0, unconfirmed)
        switch state {
        case .level: if lag > window.laggingThreshold { enter(.lagging) }
        case .lagging: if lag < window.levelThreshold { enter(.level) }
        case .catchingUp:
            // What a master sends again arrives late, and seems new.
            if !isInFullSync, oldestArrival == nil, lag < window.levelThreshold { enter(.level) }
        }
        keyExpiries.advance(to: now + window.horizon)
        keyExpiries.tidy(now: now, interval: state == .level ? window.horizon : .max)
    }

    private func enter(_ state: State) {
        self.state = state
        if !onlyNotes { keyExpiries.reportAgain() }
    }

    /// Adjusts deadlines at the target, until the batch has `limit` bytes.
    ///
    /// - Parameter select: selects a database in the batch.
    func writeDeadlines(to batch: CommandBatch, limit: Int, select: (UInt32) -> Bool) {
        guard keyExpiries.hasWork else { return }
        let (now, margin) = (now, margin)
        if onlyNotes {
            for _ in 0..<Self.keysPerCommand { if keyExpiries.next(now: now, margin: 0) == nil { return } }
            return
        }
        var keys = ArgumentBuffer()
        var deadlines = ArgumentBuffer()
        var database = UInt32(0)
        func flush() {
            guard !keys.isEmpty else { return }
            if select(database) {
                batch.appendDeadlines(keys: keys, deadlines: deadlines, margin: margin, margins: margins)
            }
            keys.removeAll()
            deadlines.removeAll()
        }
        while batch.bytes.count + keys.bytes.count < limit,
            let (entry, deadline) = keyExpiries.next(now: now, margin: margin)
        {
            if keys.count == Self.keysPerCommand || database != entry.database { flush() }
            database = entry.database
            keys.append(entry.key)
            deadlines.append(deadline)
        }
        flush()
    }
}
