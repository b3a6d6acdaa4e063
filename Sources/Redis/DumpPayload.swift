import Wire

/// A DUMP payload whose checksum has been checked, divided into its parts.
package struct DumpPayload: ~Escapable {
    package let typeCode: UInt8
    package let rdbVersion: Int
    package let body: RawSpan

    /// - Returns: `nil` if the bytes are not a payload or their checksum is wrong.
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

    /// Whether it is a collection without elements. The source has such collections (Protocol 5.6 row 8), whereas a Redis
    /// has no key in this case.
    package var isEmptyCollection: Bool {
        guard body.byteCount > 0 else { return false }
        return switch RDBType(rawValue: typeCode) {
        case .list, .listZiplists, .set, .hash, .zset, .zsetText: body[0] == 0
        default: false
        }
    }
}
