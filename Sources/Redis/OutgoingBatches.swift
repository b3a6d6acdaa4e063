import Link

/// Batches that are written one after another. Confined to the queue of their flow.
final class OutgoingBatches: OutgoingBytes {
    private var batches: [CommandBatch] = []

    /// Appends a batch. The last batch may still grow if it is the only one.
    func append(_ batch: CommandBatch) {
        batches.removeAll { $0.unwrittenBytes == 0 }
        batches.append(batch)
    }

    var unwrittenBytes: Int { batches.reduce(0) { $0 + $1.unwrittenBytes } }

    func write(_ body: (UnsafeRawBufferPointer) throws(SystemError) -> Int) throws(SystemError) {
        guard let batch = batches.first(where: { $0.unwrittenBytes > 0 }) else { return }
        try batch.write(body)
    }
}
