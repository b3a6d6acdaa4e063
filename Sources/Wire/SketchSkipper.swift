/// Moves over values of the probabilistic types, which no Redis can take. Redis has no equivalent of their bytes, but their
/// length is known, so the keys after them can still be read.
///
/// Source: Protocol 3.7.5 (bloom filters), 8.3 (count-min sketch, top-k, cuckoo filter).
struct SketchSkipper {
    private let type: RDBType
    private var stage = Stage.head

    private enum Stage {
        case head
        case filters(UInt64)
        case chunks(bytes: UInt64, filters: UInt64)
        case items(UInt64)
        case raw(UInt64)
        /// Raw bytes of a filter's piece; `bytes` of the filter and then `filters` more filters follow.
        case rawChunk(UInt64, bytes: UInt64, filters: UInt64)
    }

    init(type: RDBType) { self.type = type }

    /// - Returns: `true` at the end of the value, `false` if more bytes are needed.
    mutating func resume(_ reader: inout ByteReader) throws(WireError) -> Bool {
        while true {
            let start = reader.offset
            switch stage {
            case .head:
                guard let next = try readHead(&reader) else {
                    reader.rewind(to: start)
                    return false
                }
                stage = next
            case .filters(0):
                return true
            case .filters(let left):
                guard let next = try readFilterHead(&reader, left: left) else {
                    reader.rewind(to: start)
                    return false
                }
                stage = next
            case .chunks(0, let filters):
                stage = .filters(filters)
            case .chunks(let bytes, let filters):
                guard let piece = try readPieceHead(&reader) else { return false }
                guard piece.filterBytes > 0, piece.filterBytes <= bytes else {
                    throw .malformed("a filter's pieces do not make the filter", offset: start)
                }
                stage = .rawChunk(piece.rawBytes, bytes: bytes - piece.filterBytes, filters: filters)
            case .rawChunk(let count, let bytes, let filters):
                let left = skip(&reader, count)
                stage =
                    left == 0
                    ? .chunks(bytes: bytes, filters: filters) : .rawChunk(left, bytes: bytes, filters: filters)
                if left > 0 { return false }
            case .items(0):
                guard let bytes = try reader.readLength() else { return false }
                stage = .raw(bytes)
            case .items(let left):
                guard try reader.skipString(), try reader.readLength() != nil else {
                    reader.rewind(to: start)
                    return false
                }
                stage = .items(left - 1)
            case .raw(let count):
                let left = skip(&reader, count)
                stage = .raw(left)
                return left == 0
            }
        }
    }

    private func skip(_ reader: inout ByteReader, _ count: UInt64) -> UInt64 {
        let present = min(count, UInt64(reader.remaining))
        _ = reader.skip(Int(present))
        return count - present
    }

    private func readHead(_ reader: inout ByteReader) throws(WireError) -> Stage? {
        switch type {
        case .bloomFilter, .bloomFilterChunked:
            guard try reader.readLength() != nil, reader.skip(16), try reader.skipLengths(3) else { return nil }
            return try reader.readLength().map { .filters($0) }
        case .countMinSketch:
            guard let width = try reader.readLength(), let depth = try reader.readLength(), try reader.skipLengths(1)
            else { return nil }
            let (counters, overflow) = width.multipliedReportingOverflow(by: depth)
            guard !overflow, counters <= Limits.stringBytes else {
                throw .malformed("a count-min sketch's size is out of range", offset: reader.offset)
            }
            return .raw(counters * 8)
        case .topK:
            guard try reader.skipLengths(4), reader.skip(8) else { return nil }
            return try reader.readLength().map { .items($0) }
        default:
            guard try reader.skipLengths(6) else { return nil }
            return try reader.readLength().map { .filters($0) }
        }
    }

    /// Reads the head of a filter's piece, which is an RDB string only in a bloom filter. Returns the number of bytes that
    /// follow, and the number of bytes of the current filter that they represent.
    private func readPieceHead(_ reader: inout ByteReader) throws(WireError) -> (rawBytes: UInt64, filterBytes: UInt64)?
    {
        guard type == .bloomFilterChunked else { return try reader.readLength().map { ($0, $0) } }
        switch try reader.readStringHead() {
        case nil: return nil
        case .raw(let count): return (UInt64(count), UInt64(count))
        case .compressed(let count, let uncompressedCount): return (UInt64(count), UInt64(uncompressedCount))
        case .integer(let number): return (0, UInt64(String(number).utf8.count))
        }
    }

    private func readFilterHead(_ reader: inout ByteReader, left: UInt64) throws(WireError) -> Stage? {
        switch type {
        case .bloomFilter:
            guard try reader.skipLengths(1), let head = try reader.readStringHead() else { return nil }
            switch head {
            case .raw(let count), .compressed(let count, _):
                return .rawChunk(UInt64(count), bytes: 0, filters: left - 1)
            case .integer: return .filters(left - 1)
            }
        case .bloomFilterChunked:
            guard try reader.skipLengths(1), let bytes = try reader.readLength() else { return nil }
            return .chunks(bytes: bytes, filters: left - 1)
        default:
            guard let bytes = try reader.readLength() else { return nil }
            return .chunks(bytes: bytes, filters: left - 1)
        }
    }
}

extension ByteReader {
    /// Moves over `count` lengths. The caller rewinds when bytes are missing.
    mutating func skipLengths(_ count: Int) throws(WireError) -> Bool {
        for _ in 0..<count where try readLength() == nil { return false }
        return true
    }
}
