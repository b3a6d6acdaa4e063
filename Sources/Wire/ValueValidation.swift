/// Checks the packed forms inside a value that is passed on whole.
///
/// A server that restores a payload does not check the inside of a listpack by default (`sanitize-dump-payload no`), and a
/// broken listpack would crash it later. So values that arrived over a network are walked over before they are passed on.
package enum ValueValidation {
    /// - Throws: `WireError` if a listpack, ziplist or intset of the value is malformed; offsets count from the body.
    package static func check(_ type: RDBType, body: RawSpan, scratch: inout ByteBuffer) throws(WireError) {
        var reader = ByteReader(body)
        switch type {
        case .setIntset, .hashListpack, .zsetListpack, .setListpack, .hashZiplist, .zsetZiplist:
            try checkNext(type, &reader, &scratch)
        case .list:
            guard let nodes = try reader.readLength() else { return }
            for _ in 0..<nodes {
                let container = try reader.readLength()
                if container == 2 { try checkNext(type, &reader, &scratch) } else { _ = try reader.skipString() }
            }
        case .listZiplists:
            guard let nodes = try reader.readLength() else { return }
            for _ in 0..<nodes { try checkNext(type, &reader, &scratch) }
        case .stream1, .stream2, .stream3:
            guard let nodes = try reader.readLength() else { return }
            for _ in 0..<nodes {
                _ = try reader.skipString()
                try checkNext(type, &reader, &scratch)
            }
        default: return
        }
    }

    private static func checkNext(
        _ type: RDBType, _ reader: inout ByteReader, _ scratch: inout ByteBuffer
    ) throws(WireError) {
        let start = reader.offset
        scratch.removeAll()
        do throws(WireError) {
            let complete = try reader.readInlineString(scratch: &scratch) { (bytes) throws(WireError) in
                switch type {
                case .setIntset: _ = try IntsetReader.validate(bytes)
                case .hashZiplist, .zsetZiplist, .listZiplists: _ = try ZiplistReader.validate(bytes)
                default: _ = try ListpackReader.validate(bytes)
                }
            }
            guard complete else { throw .malformed("a value is truncated", offset: 0) }
        } catch {
            throw error.shifted(by: start)
        }
    }
}
