import Wire

/// The payload that DUMP returns, and that RENAME across shards and COPY journal in a RESTORE (Protocol 3.7.6).
enum DumpPayload {
    /// Type, body, RDB version 9, CRC-64; all numbers little-endian.
    static func bytes(_ value: Value) -> [UInt8] {
        var encoder = ValueEncoder(compression: .none)
        let type = encoder.encode(value)
        var writer = PieceWriter(bytes: [type] + encoder.writer.bytes)
        writer.littleEndian(UInt16(9))
        var checksum = CRC64()
        checksum.update(writer.bytes.span.bytes)
        writer.littleEndian(checksum.value)
        return writer.bytes
    }
}
