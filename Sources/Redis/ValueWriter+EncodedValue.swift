import Wire

extension ValueWriter {
    /// Writes a value whose encoded form is at hand as a whole.
    ///
    /// - Returns: `false` when `body` is not exactly one value; commands that were written before that stay.
    package func write(_ body: RawSpan, into batch: CommandBatch) -> Bool {
        var decoder = ValueDecoder(type: head.type)
        var sink = WritingSink(writer: self, batch: batch)
        var reader = ByteReader(body)
        let complete = (try? decoder.resume(&reader, into: &sink)) ?? false
        return complete && reader.remaining == 0 && failure == nil
    }
}

/// Hands the events of one value to a writer.
private struct WritingSink: ValueSink {
    let writer: ValueWriter
    let batch: CommandBatch

    mutating func value(_ event: borrowing ValueEvent, stream: ChunkStreamID) { _ = writer.write(event, into: batch) }
}
