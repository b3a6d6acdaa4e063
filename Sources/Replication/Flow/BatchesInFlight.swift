import DequeModule
import Redis

/// The batches on their way to the target, the oldest first. There is at least one.
///
/// There is more than one only if all are unordered (`CommandBatch.isUnordered`): they hold whole values of a snapshot. A
/// key can be in two of them only if nothing has changed it in between, because each change is a record of the journal,
/// whose batch is sent by itself. So it does no harm if one of them is refused and later ones are not, or if one is applied
/// twice.
struct BatchesInFlight {
    private var batches: Deque<CommandBatch>

    init(_ batch: CommandBatch) { batches = [batch] }

    var oldest: CommandBatch { batches[0] }

    var isFollowed: Bool { batches.count > 1 }

    var followers: Deque<CommandBatch>.SubSequence { batches.dropFirst() }

    /// Whether other unordered batches may be sent before the result of these is known.
    var mayBeFollowed: Bool { batches.allSatisfy(\.isUnordered) }

    mutating func append(_ batch: CommandBatch) { batches.append(batch) }

    /// The flight without the oldest batch, whose result is known.
    ///
    /// - Returns: the rest; `nil` if there is none.
    func droppingOldest() -> BatchesInFlight? {
        guard isFollowed else { return nil }
        var rest = self
        rest.batches.removeFirst()
        return rest
    }
}
