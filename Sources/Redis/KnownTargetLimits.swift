import Link

/// The target's limits as known while the task runs: those of its configuration if it can be read, otherwise those that its
/// refusals have shown.
package final class KnownTargetLimits: Sendable {
    private struct State {
        var configured = TargetLimits()
        var shown: TargetLimits = {
            var shown = TargetLimits()
            shown.areShown = true
            return shown
        }()
        /// The commands during which a connection has ended silently, by name and key, and how often.
        var suspects: [String: Int] = [:]
    }

    private let state = Lock(State())

    package init() {}

    package var limits: TargetLimits {
        state.withLock {
            $0.configured == TargetLimits() ? $0.shown : $0.configured
        }
    }

    /// Takes the limits from the configuration, which take precedence over those from refusals.
    package func configure(_ limits: TargetLimits) { state.withLock { $0.configured = limits } }

    /// Notes that the target does not take an argument of `bytes`.
    package func refused(argumentBytes bytes: Int) {
        state.withLock { $0.shown.argumentBytes = min($0.shown.argumentBytes ?? .max, max(bytes, 1) - 1) }
    }

    /// Notes that the target does not take a transaction with `bytes` of arguments.
    package func refused(allArguments bytes: Int) {
        let limit = bytes + TargetLimits.frameBytes - 1
        state.withLock { $0.shown.transactionBytes = min($0.shown.transactionBytes ?? .max, limit) }
    }

    /// Notes that a connection has ended during a command that is not kept. If the target gives no reason, the command
    /// counts as refused after three losses, provided that it is so large that a limit may forbid it.
    ///
    /// - Parameter isBlamed: whether the target named the command as the reason.
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
