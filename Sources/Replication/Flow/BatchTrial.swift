import Redis

/// Which part of a batch is sent next, when the target or the network ends the connections that carry it.
///
/// A batch that has ended two connections in a row is sent in halves, in order, each with a position of its own, until what
/// the target does not take is alone. Dividing harms nothing, so little evidence suffices for it. Blaming a unit loses data:
/// it takes a complaint of the target at each of two losses, or, where the target ends connections without a word, a unit
/// so large that a limit may forbid it and four losses in a row of a target that serves at once each time.
///
/// Pure: units are numbered, and only their sizes are known here.
struct BatchTrial: Equatable {
    /// What the loss of a connection says about the part that was on its way.
    enum Evidence: Equatable {
        /// The target named the request as the reason.
        case complaint
        /// The target said nothing, and served again at the first attempt.
        case silence
        /// The target was away, or was restarted.
        case elsewhere
    }

    enum Finding: Equatable {
        /// The same part is sent again.
        case again
        /// The part is sent in two.
        case divided
        /// The target does not take the unit: something is to be left out of it.
        case blamed(unit: Int)
        /// It looks as if the target did not take the unit, but nothing proves it: it is sent again.
        case suspected(unit: Int)
    }

    private static let lossesUntilDivided = 2
    private static let complaintsUntilBlamed = 2
    private static let silentLossesUntilBlamed = 4
    private static let lossesUntilSuspected = 8

    /// Encoded bytes of each unit.
    private let sizes: [Int]
    /// Ranges of units that have not been confirmed, in order.
    private(set) var pending: [Range<Int>]
    /// Losses in a row of the first of them.
    private(set) var losses = 0
    private var complaints = 0
    /// A part of a divided batch has something in it that ends connections, or one of the others has.
    private var isDivided = false

    /// - Parameters:
    ///   - sizes: encoded bytes of each unit; there is one at least.
    ///   - limit: bytes of a part at most, unless it is one unit.
    init(sizes: [Int], limit: Int = .max) {
        precondition(!sizes.isEmpty, "a batch has a unit")
        self.sizes = sizes
        pending = []
        var (start, bytes) = (0, 0)
        for (unit, size) in sizes.enumerated() {
            if unit > start, size > limit || bytes > limit - size {
                pending.append(start..<unit)
                (start, bytes) = (unit, 0)
            }
            bytes += min(size, limit)
        }
        pending.append(start..<sizes.count)
    }

    var isDone: Bool { pending.isEmpty }

    /// The first part has been applied.
    mutating func delivered() {
        pending.removeFirst()
        (losses, complaints) = (0, 0)
    }

    /// Nothing from `unit` on is to be sent.
    mutating func end(before unit: Int) {
        pending = pending.compactMap { part in
            let rest = part.clamped(to: 0..<unit)
            return rest.isEmpty ? nil : rest
        }
    }

    /// What was blamed is left out from here on.
    mutating func leftOut() { (losses, complaints) = (0, 0) }

    /// The connection ended while the first part was on its way, and the part has not been applied.
    mutating func lost(_ evidence: Evidence) -> Finding {
        guard let part = pending.first else { return .again }
        switch evidence {
        case .elsewhere:
            (losses, complaints) = (0, 0)
            return .again
        case .complaint: complaints += 1
        case .silence: break
        }
        losses += 1
        if part.count > 1 {
            // What is in it has ended two connections before it was divided.
            guard losses >= Self.lossesUntilDivided || (isDivided && complaints > 0) else { return .again }
            let middle = part.lowerBound + part.count / 2
            pending.replaceSubrange(0..<1, with: [part.lowerBound..<middle, middle..<part.upperBound])
            (losses, complaints, isDivided) = (0, 0, true)
            return .divided
        }
        let unit = part.lowerBound
        if complaints >= Self.complaintsUntilBlamed { return .blamed(unit: unit) }
        if losses >= Self.silentLossesUntilBlamed, sizes[unit] > TargetLimits.leastBytes { return .blamed(unit: unit) }
        return losses == Self.lossesUntilSuspected ? .suspected(unit: unit) : .again
    }
}
