/// LZF, the compression inside RDB strings.
///
/// ```
/// 000LLLLL                      L + 1 literal bytes follow
/// LLLooooo            oooooooo  copy L + 2 bytes from o + 1 bytes back, L in 1 ... 6
/// 111ooooo  LLLLLLLL  oooooooo  copy L + 9 bytes from o + 1 bytes back
/// ```
/// Source and target of a copy may overlap: it goes byte by byte. Source: Protocol 3.3.
package enum LZF {
    /// How far back a copy reaches.
    static let windowBytes = 1 << 13

    /// The most text that a byte of LZF can yield: 3 bytes make at most 264.
    static let greatestRatio = 88

    /// Appends the text of `uncompressedCount` bytes that `source` holds. If it throws, nothing is appended.
    ///
    /// - Throws: `malformed` unless `source` is consumed to its last byte and makes exactly that many bytes.
    package static func decompress(
        _ source: RawSpan, uncompressedCount: Int, into output: inout ByteBuffer
    ) throws(WireError) {
        try checkCounts(compressed: source.byteCount, uncompressed: uncompressedCount)
        try output.appendUninitialized(minimum: uncompressedCount) { room throws(WireError) in
            try expand(source, into: UnsafeMutableRawBufferPointer(rebasing: room[..<uncompressedCount]))
            return uncompressedCount
        }
    }

    /// Refuses counts that cannot belong together before any memory is taken for them.
    static func checkCounts(compressed: Int, uncompressed: Int) throws(WireError) {
        guard compressed >= 0, uncompressed >= 0, compressed <= Limits.stringBytes,
            uncompressed <= compressed * greatestRatio
        else { throw .malformed("LZF string too short for its text", offset: 0) }
    }

    private static func expand(_ source: RawSpan, into output: UnsafeMutableRawBufferPointer) throws(WireError) {
        let sourceCount = source.byteCount
        var input = 0
        var produced = 0
        while input < sourceCount {
            let unit = input
            let control = Int(source.byte(at: input))
            input += 1
            if control < 0x20 {
                let count = control + 1
                guard count <= sourceCount - input else { throw .malformed("truncated LZF literal", offset: unit) }
                guard count <= output.count - produced else { throw overlong(at: unit) }
                source.extracting(input..<(input + count)).withUnsafeBytes { literal in
                    UnsafeMutableRawBufferPointer(rebasing: output[produced..<(produced + count)])
                        .copyMemory(from: literal)
                }
                input += count
                produced += count
                continue
            }
            var count = control >> 5 + 2
            if count == 9 {
                guard input < sourceCount else { throw .malformed("truncated LZF copy", offset: unit) }
                count += Int(source.byte(at: input))
                input += 1
            }
            guard input < sourceCount else { throw .malformed("truncated LZF copy", offset: unit) }
            let distance = (control & 0x1F) << 8 + Int(source.byte(at: input)) + 1
            input += 1
            guard distance <= produced else { throw .malformed("LZF copy from before the text", offset: unit) }
            guard count <= output.count - produced else { throw overlong(at: unit) }
            for index in produced..<(produced + count) { output[index] = output[index - distance] }
            produced += count
        }
        guard produced == output.count else {
            throw .malformed("LZF string ends before its text", offset: sourceCount)
        }
    }

    private static func overlong(at offset: Int) -> WireError {
        .malformed("LZF string longer than its text", offset: offset)
    }
}
