package import Wire

extension CommandBatch {
    /// `RESTORE key ttl payload ABSTTL [REPLACE]` of a value as it stands in a snapshot: cheaper for the target than the
    /// commands that would build it, and exact to the last field of a stream.
    ///
    /// ```
    /// payload:  type byte | value | u16 LE RDB version | u64 LE CRC-64 of all before it
    /// ```
    /// Source: Protocol 3.7.6.
    ///
    /// - Parameter guardedIn: the key's database, when an existing key is not to be replaced.
    package func appendRestore(
        key: RawSpan, type: RDBType, body: RawSpan, expiryMilliseconds: Int64?, guardedIn: UInt32? = nil
    ) {
        let replacing = guardedIn == nil
        command(replacing ? 6 : 5)
        if let guardedIn { noteGuarded(key: printableKey(key), database: guardedIn) }
        bytes.appendBulk("RESTORE")
        bytes.appendBulk(key)
        bytes.appendBulk(decimal: expiryMilliseconds ?? 0)
        bytes.appendBulkHead(1 + body.byteCount + 2 + 8)
        let head = bytes.count
        bytes.append(type.rawValue)
        bytes.append(body)
        bytes.append(littleEndian: Self.payloadVersion)
        var checksum = CRC64()
        checksum.update(bytes.bytes.extracting(head..<bytes.count))
        bytes.append(littleEndian: checksum.value)
        bytes.appendLineEnd()
        bytes.appendBulk("ABSTTL")
        if replacing { bytes.appendBulk("REPLACE") }
    }

    /// The RDB version that Dragonfly writes into its payloads; every target from 7.0 on reads it.
    private static let payloadVersion: UInt16 = 9
}

/// A DUMP payload, checked and taken apart.
package struct DumpPayload: ~Escapable {
    package let typeCode: UInt8
    package let rdbVersion: Int
    package let body: RawSpan

    /// - Returns: `nil` when the bytes are no payload or their checksum is wrong.
    @_lifetime(copy bytes)
    package init?(_ bytes: RawSpan) {
        guard bytes.byteCount >= 11 else { return nil }
        let count = bytes.byteCount
        var footer = ByteReader(bytes, offset: count - 10)
        guard let version = footer.readLittleEndian(UInt16.self), let expected = footer.readLittleEndian(UInt64.self)
        else { return nil }
        if expected != 0 {
            var checksum = CRC64()
            checksum.update(bytes.extracting(first: count - 8))
            guard checksum.value == expected else { return nil }
        }
        typeCode = bytes[0]
        rdbVersion = Int(version)
        body = bytes.extracting(1..<(count - 10))
    }
}
