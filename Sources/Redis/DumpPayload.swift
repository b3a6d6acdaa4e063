import Wire

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

    /// It is a collection without elements: the source has such (Protocol 5.6 row 8), where a Redis has no key.
    package var isEmptyCollection: Bool {
        guard body.byteCount > 0 else { return false }
        return switch RDBType(rawValue: typeCode) {
        case .list, .listZiplists, .set, .hash, .zset, .zsetText: body[0] == 0
        default: false
        }
    }
}
