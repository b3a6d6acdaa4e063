import Redis

/// Decides which part of a batch is sent next if the target or the network ends the connections that carry it.
///
/// A batch that has ended two connections in a row is divided into halves, which are sent in order, each with a position of
/// its own. Halving goes on until the command that the target does not take is alone. Dividing does no harm, so little
/// evidence is enough for it. Blaming a unit loses data and needs either a complaint of the target at each of two losses
/// or, if the target ends connections without a word, a unit so large that a limit may forbid it and four losses in a row
/// of a target that serves again at once each time.
///
/// Pure: units are numbered, and only their sizes are known here.
struct BatchBisection: Equatable {
    /// What a lost connection says about the part that was on its way.
    enum Evidence: Equatable {
        /// The target named the request as the reason.
        case complaint
        /// The target said nothing, and served again at the first attempt.
        case silence
        /// The target was away, or was restarted.
        case unrelated
    }

    enum Finding: Equatable {
        /// Send the same part again.
        case again
        /// Send the part in two halves.
        case divided
        /// The target does not take the unit; some of it must be left out.
        case blamed(unit: Int)
        /// The target seems not to take the unit, but nothing proves it. Send it again.
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
    /// The number of losses in a row of the first of them.
    private(set) var losses = 0
    private var complaints = 0
    /// Whether the batch has been divided, so that one of its parts contains something that ends connections.
    private var isDivided = false

    /// - Parameters:
    ///   - sizes: the encoded bytes of each unit; there is at least one.
    ///   - limit: the maximum number of bytes of a part, unless the part is a single unit.
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

    /// Reports that the first part has been applied.
    mutating func delivered() {
        pending.removeFirst()
        (losses, complaints) = (0, 0)
    }

    /// Drops all units from `unit` on.
    mutating func end(before unit: Int) {
        pending = pending.compactMap { part in
            let rest = part.clamped(to: 0..<unit)
            return rest.isEmpty ? nil : rest
        }
    }

    /// Reports that a command which was blamed, or which exceeds a limit, is left out from here on.
    mutating func leftOut() { (losses, complaints) = (0, 0) }

    /// Reports that the connection ended before the first part, which was on its way, was applied.
    mutating func lost(_ evidence: Evidence) -> Finding {
        guard let part = pending.first else { return .again }
        switch evidence {
        case .unrelated:
            (losses, complaints) = (0, 0)
            return .again
        case .complaint: complaints += 1
        case .silence: break
        }
        losses += 1
        if part.count > 1 {
            // The whole batch has already ended two connections, so one complaint is enough to divide a part of it.
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
