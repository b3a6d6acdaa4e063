import DequeModule
import Redis

/// Batches on their way to the target, the oldest first. There is at least one.
///
/// There is more than one only of unordered batches (`CommandBatch.isUnordered`): the whole values of a snapshot. A key
/// comes in two of them only if nothing has changed it in between, since each change is a record of the journal, whose
/// batch goes by itself. So it does no harm when one of them is refused and those after it are not, or when one is
/// applied twice.
struct Flight {
    private var batches: Deque<CommandBatch>

    init(_ batch: CommandBatch) { batches = [batch] }

    var oldest: CommandBatch { batches[0] }

    var isFollowed: Bool { batches.count > 1 }

    var followers: Deque<CommandBatch>.SubSequence { batches.dropFirst() }

    /// Others may be sent before the fate of these is known.
    var mayBeFollowed: Bool { batches.allSatisfy(\.isUnordered) }

    mutating func append(_ batch: CommandBatch) { batches.append(batch) }

    /// The fate of the oldest is known.
    ///
    /// - Returns: the rest; `nil` when there is none.
    func landed() -> Flight? {
        guard isFollowed else { return nil }
        var rest = self
        rest.batches.removeFirst()
        return rest
    }
}
