package import Wire

extension CommandBatch {
    /// Appends `RESTORE key ttl payload ABSTTL [REPLACE]` with a value as the snapshot encodes it. This is cheaper for the
    /// target than the commands that would build the value, and exact to the last field of a stream.
    ///
    /// ```
    /// payload:  type byte | value | u16 LE RDB version | u64 LE CRC-64 of all before it
    /// ```
    /// Source: Protocol 3.7.6.
    ///
    /// - Parameter guardedIn: the key's database if an existing key must not be replaced; otherwise `nil`.
    package func appendRestore(
        key: RawSpan, type: RDBType, body: RawSpan, expiryMilliseconds: Int64?, guardedIn: UInt32? = nil
    ) {
        append("RESTORE") {
            $0.append(key)
            $0.append(expiryMilliseconds ?? 0)
            $0.append(byteCount: 1 + body.byteCount + 2 + 8) { buffer in
                let start = buffer.count
                buffer.append(type.rawValue)
                buffer.append(body)
                buffer.append(littleEndian: Self.payloadVersion)
                var checksum = CRC64()
                checksum.update(buffer.bytes.extracting(start..<buffer.count))
                buffer.append(littleEndian: checksum.value)
            }
            $0.append("ABSTTL")
            if guardedIn == nil { $0.append("REPLACE") }
        }
        if let guardedIn { noteGuarded(key: printableKey(key), database: guardedIn) }
    }

    /// The RDB version that Dragonfly writes into its payloads; every target from 7.0 on reads it.
    private static let payloadVersion: UInt16 = 9
}
