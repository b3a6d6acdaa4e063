import Glibc
import Link
import Redis
import Wire

/// Keeps the target from expiring by its own clock what the stream has not expired yet.
///
/// A Redis expires keys by its own clock, and nothing switches that off. So it is told later deadlines than the
/// source's, where the source's come near; the source journals each expiry as a DEL, which removes the key in time.
///
/// | the flow is | a deadline within `horizon` is written with | any other |
/// |---|---|---|
/// | level | the standing margin | as it is |
/// | behind | a day | as it is |
///
/// The standing margin is there because a target that has stopped cannot be told anything: whatever falls due while it
/// stands, for up to the guard window W, must carry its margin before. Margin and horizon are 1.5 W, since up to W / 4 of
/// lag still counts as level. Once the flow is behind, what is near gets the day before anything more is applied, as the
/// lag may grow to any length; when it is level again, the standing margin; at the leave, its exact deadline (`ExpirySettler`).
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
        /// How long the target, the network or this process may stand still without a key being lost.
        var milliseconds: Int64

        init(_ length: Duration) { milliseconds = length.milliseconds }

        /// At least what a leave has to know of (`marginBehindLeave`).
        var horizon: Int64 { max(milliseconds * 3 / 2, 12_000) }
        var standingMargin: Int64 { milliseconds == 0 ? 0 : milliseconds * 3 / 2 + 337 }
        var isBehind: Int64 { max(milliseconds / 4, 500) }
        var isLevel: Int64 { isBehind / 2 }
    }

    enum State: Equatable { case catchingUp, behind, level }

    static let marginBehind: Int64 = 86_400_613
    /// What falls due within so many milliseconds of a leave is that late, for the restart that may follow.
    static let marginBehindLeave: Int64 = 10_171
    private static let keysPerCommand = 100

    let book: DeadlineBook
    private let window: Window
    /// The target does not expire anything by itself.
    private let onlyNotes: Bool
    private let clock: @Sendable () -> Int64
    private(set) var state: State
    private var now: Int64
    /// Margins that deadlines at the target may have.
    private let margins: [Int64]

    /// - Parameters:
    ///   - window: `nil`: the target does not expire anything by itself.
    ///   - resumes: the target holds keys of the time before, and nobody knows how far behind it is.
    init(book: DeadlineBook, window: Window?, resumes: Bool, clock: @escaping @Sendable () -> Int64) {
        self.book = book
        onlyNotes = window == nil
        self.window = window ?? Window(.zero)
        self.clock = clock
        now = clock()
        state = resumes ? .catchingUp : .level
        margins = Self.margins(and: [self.window.standingMargin, book.margin])
        book.margin = self.window.standingMargin
        book.advance(to: now + self.window.horizon)
    }

    /// Every margin that a deadline at the target may have.
    static func margins(and standing: [Int64]) -> [Int64] {
        Array(Set([0, marginBehind, marginBehindLeave] + standing)).sorted()
    }

    private var margin: Int64 {
        if onlyNotes { return 0 }
        return switch state {
        case .catchingUp, .behind: Self.marginBehind
        case .level: window.standingMargin
        }
    }

    // MARK: What the stream does

    func deadline(_ deadline: Int64, key: RawSpan, database: UInt32) -> Int64 {
        book.note(key, database: database, deadline: deadline) == true ? deadline + margin : deadline
    }

    func removed(_ key: RawSpan, database: UInt32) {
        if !book.isEmpty { book.remove(key, database: database) }
    }

    func moved(
        _ key: RawSpan, database: UInt32, to destination: RawSpan, database destinationDatabase: UInt32, mayStay: Bool
    ) {
        guard !book.isEmpty else { return }
        for deadline in book.deadlines(of: key, database: database) {
            book.noteAlternative(destination, database: destinationDatabase, deadline: deadline)
        }
        if !mayStay { book.remove(key, database: database) }
    }

    // MARK: The lag

    /// Looks at the clock, before what arrived at `oldestArrival` is decoded; `nil`: nothing waits to be decoded.
    func look(oldestArrival: Int64?) {
        now = max(clock(), now)
        let lag = oldestArrival.map { now - $0 } ?? 0
        switch state {
        case .level: if lag > window.isBehind { enter(.behind) }
        case .behind: if lag < window.isLevel { enter(.level) }
        // What a master sends again arrives late, and seems new.
        case .catchingUp: if oldestArrival == nil { enter(.level) }
        }
        book.advance(to: now + window.horizon)
        book.tidy(now: now, interval: state == .level ? window.horizon : .max)
    }

    private func enter(_ state: State) {
        self.state = state
        if !onlyNotes { book.retell() }
    }

    /// Adjusts deadlines at the target, until the batch has `limit` bytes.
    ///
    /// - Parameter select: selects a database in the batch.
    func work(on batch: CommandBatch, limit: Int, select: (UInt32) -> Bool) {
        guard book.hasWork else { return }
        let (now, margin) = (now, margin)
        if onlyNotes {
            for _ in 0..<Self.keysPerCommand { if book.next(now: now, margin: 0) == nil { return } }
            return
        }
        var keys = ByteBuffer()
        var deadlines = ByteBuffer()
        var (count, database) = (0, UInt32(0))
        func flush() {
            guard count > 0 else { return }
            if select(database) {
                batch.appendDeadlines(
                    keys: keys, deadlines: deadlines, count: count, margin: margin, margins: margins)
            }
            keys.removeAll()
            deadlines.removeAll()
            count = 0
        }
        while batch.bytes.count + keys.count < limit, let (entry, deadline) = book.next(now: now, margin: margin) {
            if count == Self.keysPerCommand || database != entry.database { flush() }
            database = entry.database
            keys.appendBulk(entry.key)
            deadlines.appendBulk(decimal: deadline)
            count += 1
        }
        flush()
    }
}
