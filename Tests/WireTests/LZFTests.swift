import Testing
import Wire

@Suite struct `LZF strings` {
    private func decompress(_ bytes: [UInt8], _ count: Int) throws(WireError) -> [UInt8] {
        var output = ByteBuffer()
        try LZF.decompress(bytes.span.bytes, uncompressedCount: count, into: &output)
        return output.array
    }

    @Test func `Literals, short copies, long copies and overlaps are expanded`() throws {
        #expect(try decompress([], 0) == [])
        #expect(try decompress(hex("02 61 62 63"), 3) == Array("abc".utf8))
        // 3 bytes from 3 back
        #expect(try decompress(hex("02 61 62 63 20 02"), 6) == Array("abcabc".utf8))
        // 8 bytes from 2 back: the copy reads what it writes
        #expect(try decompress(hex("01 61 62 c0 01"), 10) == Array("ababababab".utf8))
        // 264 bytes from 1 back, the longest copy
        #expect(try decompress(hex("00 61 e0 ff 00"), 265) == Array(repeating: 0x61, count: 265))
    }

    @Test func `What does not end exactly is malformed`() {
        let broken: [(String, Int, StaticText, Int)] = [
            ("02 61 62", 3, "truncated LZF literal", 0),
            ("00 61 20", 4, "truncated LZF copy", 2),
            ("00 61 e0", 10, "truncated LZF copy", 2),
            ("00 61 e0 00", 10, "truncated LZF copy", 2),
            ("00 61 20 01", 4, "LZF copy from before the text", 2),
            ("02 61 62 63", 2, "LZF string longer than its text", 0),
            ("00 61 20 00", 3, "LZF string longer than its text", 2),
            ("02 61 62 63", 4, "LZF string ends before its text", 4),
            ("00 61", 177, "LZF string too short for its text", 0),
            ("", 1, "LZF string too short for its text", 0),
        ]
        for (text, count, reason, offset) in broken {
            let error = #expect(throws: WireError.self) { try decompress(hex(text), count) }
            #expect(error == .malformed(reason, offset: offset), "\(text)")
        }
    }

    @Test func `Cut and mutated input never traps`() {
        let sample = hex("02 61 62 63 20 02 04 31 32 33 34 35 e0 05 07 a0 03 00 7a")
        feedHostileBytes(sample) { bytes throws(WireError) in
            _ = try decompress(bytes, 37)
            return true
        }
    }
}
