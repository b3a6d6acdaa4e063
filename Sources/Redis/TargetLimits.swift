import Link

/// What a target takes at most in one piece.
///
/// | setting | what it bounds | what the target does beyond it |
/// |---|---|---|
/// | `proto-max-bulk-len` | one argument | answers `-ERR Protocol error: invalid bulk length`, closes |
/// | `client-query-buffer-limit` | the arguments of one transaction | closes without a word |
/// Neither can be set to less than 1 MiB.
package struct TargetLimits: Equatable, Sendable {
    /// `nil`: not known.
    package var argumentBytes: Int?
    /// `nil`: not known.
    package var transactionBytes: Int?
    /// They are less than what the target has refused, which says little of what it is set to.
    package var areShown = false

    package init(argumentBytes: Int? = nil, transactionBytes: Int? = nil) {
        (self.argumentBytes, self.transactionBytes) = (argumentBytes, transactionBytes)
    }

    /// A batch of so many bytes is within them, whatever is in it.
    package var safeBatchBytes: Int { min(argumentBytes ?? .max, (transactionBytes ?? .max) - Self.frameBytes) }

    /// No target's limits are lower.
    package static let leastBytes = 1 << 20

    /// What MULTI, SELECT, EXEC and the checkpoint add to a transaction at most.
    package static let frameBytes = 4 << 10

    /// The limit that a command is beyond.
    package enum Excess: Equatable, Sendable {
        /// - `limit` is `nil` where only a refusal has shown it.
        case argument(bytes: Int, limit: Int?)
        case transaction(bytes: Int, limit: Int?)
    }

    /// - Parameters:
    ///   - argument: bytes of a command's longest argument.
    ///   - all: bytes of all its arguments.
    package func excess(ofArgument argument: Int, all: Int) -> Excess? {
        if let argumentBytes, argument > argumentBytes {
            return .argument(bytes: argument, limit: areShown ? nil : argumentBytes)
        }
        if let transactionBytes, all + Self.frameBytes > transactionBytes {
            return .transaction(bytes: all, limit: areShown ? nil : transactionBytes)
        }
        return nil
    }
}

/// The target's limits, for as long as the task runs: those of its configuration, where that can be read, and those that
/// its refusals have shown.
package final class KnownTargetLimits: Sendable {
    private struct State {
        var configured = TargetLimits()
        var shown: TargetLimits = {
            var shown = TargetLimits()
            shown.areShown = true
            return shown
        }()
        /// Commands during which a connection has ended without a word, by name and key, and how often.
        var suspects: [String: Int] = [:]
    }

    private let state = Lock(State())

    package init() {}

    package var limits: TargetLimits {
        state.withLock {
            $0.configured == TargetLimits() ? $0.shown : $0.configured
        }
    }

    /// The configuration could be read, so whoever changes it is believed.
    package func configure(_ limits: TargetLimits) { state.withLock { $0.configured = limits } }

    /// The target does not take an argument of `bytes`.
    package func refused(argumentBytes bytes: Int) {
        state.withLock { $0.shown.argumentBytes = min($0.shown.argumentBytes ?? .max, max(bytes, 1) - 1) }
    }

    /// The target does not take a transaction with so many bytes of arguments.
    package func refused(allArguments bytes: Int) {
        let limit = bytes + TargetLimits.frameBytes - 1
        state.withLock { $0.shown.transactionBytes = min($0.shown.transactionBytes ?? .max, limit) }
    }

    /// A connection has ended during a command that is not kept: without a word it takes three sessions and a size that a
    /// limit may forbid until the target counts as one that does not take it.
    ///
    /// - Parameter isBlamed: the target named the command as the reason.
    package func lost(_ label: String, argumentBytes: Int, isBlamed: Bool) {
        if isBlamed { return refused(argumentBytes: argumentBytes) }
        let losses = state.withLock { state in
            if state.suspects.count >= 1024 { state.suspects = [:] }
            state.suspects[label, default: 0] += 1
            return state.suspects[label, default: 0]
        }
        if losses >= 3, argumentBytes > TargetLimits.leastBytes { refused(allArguments: argumentBytes) }
    }
}
