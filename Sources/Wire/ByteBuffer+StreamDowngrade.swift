extension ByteBuffer {
    /// Appends the body of a type 21 stream as type 19, which Redis 7.0 reads: the consumers' active times are left out,
    /// everything else stays byte for byte.
    ///
    /// - Throws: `WireError` when `body` is not one whole stream; nothing is appended then.
    package mutating func append(streamWithoutActiveTimes body: RawSpan) throws(WireError) {
        let before = count
        do throws(WireError) {
            try appendParts(ofStream: body)
        } catch {
            truncate(to: before)
            throw error
        }
    }

    private mutating func appendParts(ofStream body: RawSpan) throws(WireError) {
        var reader = ByteReader(body)
        var copied = 0
        func require<T>(_ value: T?) throws(WireError) -> T {
            guard let value else { throw .malformed("a stream's value is truncated", offset: body.byteCount) }
            return value
        }
        func requireSkip(_ done: Bool) throws(WireError) {
            guard done else { throw .malformed("a stream's value is truncated", offset: body.byteCount) }
        }
        for _ in 0..<(try require(try reader.readLength())) {
            try requireSkip(try reader.skipString())
            try requireSkip(try reader.skipString())
        }
        for _ in 0..<8 { _ = try require(try reader.readLength()) }
        for _ in 0..<(try require(try reader.readLength())) {
            try requireSkip(try reader.skipString())
            for _ in 0..<3 { _ = try require(try reader.readLength()) }
            for _ in 0..<(try require(try reader.readLength())) {
                try requireSkip(reader.skip(24))
                _ = try require(try reader.readLength())
            }
            for _ in 0..<(try require(try reader.readLength())) {
                try requireSkip(try reader.skipString())
                try requireSkip(reader.skip(8))
                append(body.extracting(copied..<reader.offset))
                try requireSkip(reader.skip(8))
                copied = reader.offset
                let pending = try require(try reader.readCount("consumer's pending entries"))
                try requireSkip(reader.skip(pending * 16))
            }
        }
        append(body.extracting(copied..<reader.offset))
        guard reader.remaining == 0 else { throw .malformed("bytes after the end of a stream", offset: reader.offset) }
    }
}
