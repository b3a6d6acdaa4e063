import Link

/// The most that a target takes in one piece.
///
/// | setting | what it bounds | what the target does beyond it |
/// |---|---|---|
/// | `proto-max-bulk-len` | one argument | answers `-ERR Protocol error: invalid bulk length`, closes |
/// | `client-query-buffer-limit` | the arguments of one transaction | closes without a word |
/// Neither can be set to less than 1 MiB.
package struct TargetLimits: Equatable, Sendable {
    /// `nil` if it is not known.
    package var argumentBytes: Int?
    /// `nil` if it is not known.
    package var transactionBytes: Int?
    /// Whether the limits come from refusals. They are then just below what was refused and say little about the
    /// configuration.
    package var areShown = false

    package init(argumentBytes: Int? = nil, transactionBytes: Int? = nil) {
        (self.argumentBytes, self.transactionBytes) = (argumentBytes, transactionBytes)
    }

    /// A batch of at most this size is within the limits, no matter what it contains.
    package var safeBatchBytes: Int { min(argumentBytes ?? .max, (transactionBytes ?? .max) - Self.frameBytes) }

    /// No target's limits are lower.
    package static let leastBytes = 1 << 20

    /// The most that MULTI, SELECT, EXEC and the checkpoint add to a transaction.
    package static let frameBytes = 4 << 10

    /// The limit that a command exceeds.
    package enum Excess: Equatable, Sendable {
        /// - `limit` is `nil` if only a refusal has shown it.
        case argument(bytes: Int, limit: Int?)
        case transaction(bytes: Int, limit: Int?)
    }

    /// - Parameters:
    ///   - argument: the size of a command's longest argument in bytes.
    ///   - all: the size of all its arguments in bytes.
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
