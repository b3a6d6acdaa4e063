import Link
import Redis
import Wire

/// A command that is too large to keep and is written to one node while it is being built.
///
/// It is the only command of its batch. Confined to the queue of its flow.
final class LongCommand {
    /// The maximum number of bytes that may wait for the node.
    private static let roomBytes = 1 << 20

    let batch: CommandBatch
    let work: SlotWork
    let slot: KeySlot
    /// The number of the command's bytes that have not been handed over.
    private var left: Int
    private var hasEnded = false

    /// - Parameter work: the work of the batch, still without a part.
    /// - Returns: `nil` if the batch has no such command.
    init?(_ batch: CommandBatch, _ work: SlotWork) {
        guard let long = batch.takeLongCommand() else { return nil }
        self.batch = batch
        slot = KeySlot(of: long.key)
        left = long.bytes
        self.work = work
        _ = work.addLong(long.number, in: slot, database: long.database, mayRepeat: long.mayRepeat)
    }

    /// Whether the whole command has been handed over, so that an answer will follow.
    var isThrough: Bool { left == 0 && hasEnded }

    func begin(on link: NodeLink) { link.send { work.beginLong(0, into: &$0, &$1) } }

    /// Writes as much of the command as the node's buffer may take.
    ///
    /// - Returns: `true` if the node has taken some of it.
    func write(to link: NodeLink) -> Bool {
        let before = left
        while left > 0, batch.unwrittenBytes > 0, link.unwrittenBytes < Self.roomBytes {
            try? batch.write { (bytes) throws(SystemError) in
                let count = min(bytes.count, left, Self.roomBytes)
                link.append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                left -= count
                return count
            }
            if link.hasFailed { return false }
        }
        if left == 0, batch.isSealed, !hasEnded {
            hasEnded = true
            link.send { work.endLong(0, into: &$0, &$1) }
        }
        return left < before
    }
}
