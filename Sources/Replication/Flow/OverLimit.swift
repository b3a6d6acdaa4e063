import Redis

/// Why a command is too large for the target.
enum OverLimit {
    /// The command exceeds the target's limits.
    case excess(TargetLimits.Excess)
    /// A key that the command needs from another slot exceeds the limits.
    case crossing(TargetLimits.Excess)
    /// The target ends each connection that brings the command.
    case fatal(size: CommandBatch.Size, words: String?)

    var reason: String {
        switch self {
        case .excess(.argument(let bytes, let limit)):
            "an argument of \(bytes) bytes is over the target's proto-max-bulk-len\(limit.map { " of \($0) bytes" } ?? "")"
        case .excess(.transaction(let bytes, let limit)):
            "arguments of \(bytes) bytes are over the target's client-query-buffer-limit\(limit.map { " of \($0) bytes" } ?? "")"
        case .crossing(let excess):
            "its keys are in several slots, and taking the value of one to another is not possible: \(OverLimit.excess(excess).reason)"
        case .fatal(let size, let words?):
            "the target ends the connection each time at an argument of \(size.longestArgument) bytes, as beyond proto-max-bulk-len (\(words))"
        case .fatal(let size, nil):
            "the target ends the connection each time at arguments of \(size.allArguments) bytes, without a word, as beyond client-query-buffer-limit"
        }
    }
}
