import Dragonfly
import Link
import Logging
import Redis
import Wire

/// Keeps the target from expiring keys by its own clock before the stream expires them.
///
/// Redis expires keys by its own clock, and no option disables that. So a deadline that is near is written to the target
/// later than the source has it. The source journals each expiry as a DEL, which removes the key in time.
///
/// | state of the flow | margin of a deadline within `horizon` | margin of any other |
/// |---|---|---|
/// | level | `levelMargin` | none |
/// | lagging, or catching up: in a full sync, or continued | a day | none |
///
/// The margin while level exists because nothing can be written to a target that has stopped. A deadline that passes while
/// it is stopped, for up to the guard window W, must have its margin before. Margin and horizon are 1.5 W, because a lag of
/// up to a quarter of W still counts as level. Once the flow lags, near deadlines get a margin of a day before anything
/// more is applied, because the lag may grow to any length. When the flow is level again they get the margin for that, and
/// at the leave the exact deadlines (`ExactTTLRestorer`). In a full sync, megabytes are on their way to the target. If a
/// slow target takes long for them, that shows only when it is too late.
///
/// A margin while level cannot be avoided: after a stop, Redis first deletes keys that are overdue by its clock. So a key
/// that is to survive a stop of W must have a TTL of W or more in the target at every moment before the stop.
///
/// A target in import mode (`ImportMode`) expires nothing until the leave. No margins are written then, but near deadlines
/// are still noted.
///
/// The margins end in odd milliseconds, so that a deadline with a margin is not mistaken for another deadline without one.
///
/// Not Sendable: it lives on its applier's queue.
final class ExpiryGuard: TargetDeadlines {
    struct Window: Equatable, Sendable {
        /// How long the target, the network or this process may stop without losing a key.
        var milliseconds: Int64

        init(_ length: Duration) { milliseconds = length.milliseconds }

        /// The time ahead within which a deadline is near. It is at least the time that a leave has to know about
        /// (`leaveMargin`).
        var horizon: Int64 { max(milliseconds * 3 / 2, 12_000) }
        var levelMargin: Int64 { milliseconds == 0 ? 0 : milliseconds * 3 / 2 + 337 }
        /// The lag above which the flow is no longer level, and the lag below which it is level again.
        var laggingThreshold: Int64 { max(milliseconds / 4, 500) }
        var levelThreshold: Int64 { laggingThreshold / 2 }
    }

    enum State: Equatable { case catchingUp, lagging, level }

    static let laggingMargin: Int64 = 86_400_613
    /// A deadline that passes within this many milliseconds of a leave is set this many milliseconds later, for the restart
    /// that may follow.
    static let leaveMargin: Int64 = 10_171
    private static let keysPerCommand = 100

    /// The source's deadlines.
    let keyExpiries: ExpiryWheel
    private let window: Window
    /// Whether deadlines are only noted, because the target does not expire anything by itself.
    private let onlyNotes: Bool
    private let clock: @Sendable () -> Int64
    private(set) var state = State.catchingUp
    private var now: Int64
    /// The margins that deadlines in the target may have.
    private let margins: [Int64]

    /// - Parameters:
    ///   - window: the guard window; `nil` if the target does not expire anything by itself.
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

    /// Opens the flow's wheel or begins a new one, as the flow's start requires.
    ///
    /// - Parameter next: the LSN at which a continued flow begins; `nil` for a full sync.
    /// - Throws: `SystemError` if the files cannot be created.
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

    /// Returns every margin that a deadline in the target may have.
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

    // MARK: Changes by the stream

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
        // RENAME of a key to itself changes nothing.
        if database == destinationDatabase, key.isEqual(to: destination) { return }
        for deadline in keyExpiries.deadlines(of: key, database: database) {
            keyExpiries.noteAlternative(destination, database: destinationDatabase, deadline: deadline)
        }
        if !mayStay { keyExpiries.remove(key, database: database) }
    }

    // MARK: The lag

    /// Decides whether the flow lags. It is called before bytes that arrived at `oldestArrival` are decoded.
    ///
    /// - Parameters:
    ///   - oldestArrival: the Unix time in milliseconds; `nil` if nothing waits to be decoded.
    ///   - unconfirmed: how long the oldest batch has been on its way to the target, in milliseconds.
    func updateLag(oldestArrival: Int64?, unconfirmed: Int64 = 0, isInFullSync: Bool = false) {
        now = max(clock(), now)
        let lag = max(oldestArrival.map { now - $0 } ?? 0, unconfirmed)
        switch state {
        case .level: if lag > window.laggingThreshold { enter(.lagging) }
        case .lagging: if lag < window.levelThreshold { enter(.level) }
        case .catchingUp:
            // Records that a master sends again are old but have just arrived, so their arrival does not show the lag.
            if !isInFullSync, oldestArrival == nil, lag < window.levelThreshold { enter(.level) }
        }
        keyExpiries.advance(to: now + window.horizon)
        keyExpiries.tidy(now: now, interval: state == .level ? window.horizon : .max)
    }

    private func enter(_ state: State) {
        self.state = state
        if !onlyNotes { keyExpiries.reportAgain() }
    }

    /// Adjusts deadlines in the target until the batch has `limit` bytes.
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
