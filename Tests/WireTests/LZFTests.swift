import Base
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

    @Test func `A string that does not end exactly is malformed`() {
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

    /// LZF bytes of random steps, and their text.
    private func sample(steps: Int, seed: UInt64) -> (bytes: [UInt8], text: [UInt8]) {
        var random = SplitMix64(seed: seed)
        var bytes: [UInt8] = []
        var text: [UInt8] = []
        for _ in 0..<steps {
            if text.isEmpty || random.next() % 3 == 0 {
                let literal = random.bytes(Int.random(in: 1...32, using: &random))
                bytes.append(UInt8(literal.count - 1))
                bytes += literal
                text += literal
            } else {
                let distance = Int.random(in: 1...min(text.count, 8192), using: &random)
                let count = Int.random(in: 3...264, using: &random)
                let high = UInt8((distance - 1) >> 8)
                bytes += count < 9 ? [UInt8(count - 2) << 5 | high] : [0xE0 | high, UInt8(count - 9)]
                bytes.append(UInt8(truncatingIfNeeded: distance - 1))
                for _ in 0..<count { text.append(text[text.count - distance]) }
            }
        }
        return (bytes, text)
    }

    /// Expands `bytes`, handed over in pieces, and takes the text out after each call.
    private func expand(
        _ bytes: [UInt8], _ count: Int, pieceBytes: Int, limit: Int
    ) throws(WireError) -> (text: [UInt8], isFinished: Bool, consumed: Int) {
        var decoder = try LZFDecoder(compressedCount: bytes.count, uncompressedCount: count)
        var output = ByteBuffer()
        var text: [UInt8] = []
        var start = 0
        while start < bytes.count {
            let piece = Array(bytes[start..<min(start + pieceBytes, bytes.count)])
            var reader = ByteReader(piece.span.bytes)
            repeat {
                try decoder.decode(&reader, into: &output, limit: limit)
                #expect(output.count <= limit)
                text += output.array
                let isFull = output.count == limit
                output.removeAll()
                if !isFull { break }
            } while !decoder.isFinished
            #expect(reader.remaining == 0)
            start += piece.count
        }
        return (text, decoder.isFinished, bytes.count - decoder.compressedLeft)
    }

    @Test func `A text far longer than the window is expanded at once and in pieces of any size`() throws {
        let (bytes, text) = sample(steps: 2000, seed: 11)
        #expect(text.count > 100_000)
        #expect(try decompress(bytes, text.count) == text)
        for (pieceBytes, limit) in [(1, 1), (1, 1000), (7, 3), (4096, 8192), (1 << 20, 1 << 20), (1 << 20, 10)] {
            let expanded = try expand(bytes, text.count, pieceBytes: pieceBytes, limit: limit)
            #expect(expanded.text == text, "pieces of \(pieceBytes), limit \(limit)")
            #expect(expanded.isFinished)
        }
    }

    @Test func `The decoder takes no byte after the string`() throws {
        let bytes = hex("00 61 e0 00 00 ff ff")
        var decoder = try LZFDecoder(compressedCount: 5, uncompressedCount: 10)
        var reader = ByteReader(bytes.span.bytes)
        var output = ByteBuffer()
        var isFinished = try decoder.decode(&reader, into: &output, limit: 4)
        #expect(!isFinished)
        isFinished = try decoder.decode(&reader, into: &output, limit: 100)
        #expect(isFinished)
        #expect(output.bytes.text == "aaaaaaaaaa")
        #expect(reader.remaining == 2)
    }

    @Test func `An empty string is finished from the start`() throws {
        let decoder = try LZFDecoder(compressedCount: 0, uncompressedCount: 0)
        #expect(decoder.isFinished)
    }

    @Test func `A string that does not end exactly is malformed in pieces, too`() {
        for (text, count) in [
            ("02 61 62", 3), ("00 61 20", 4), ("00 61 e0", 10), ("00 61 e0 00", 10), ("00 61 20 01", 4),
            ("02 61 62 63", 2), ("00 61 20 00", 3), ("02 61 62 63", 4), ("00 61", 177), ("", 1),
        ] {
            for pieceBytes in 1...4 {
                #expect(throws: WireError.self, "\(text) in \(pieceBytes)") {
                    try expand(hex(text), count, pieceBytes: pieceBytes, limit: 100)
                }
            }
        }
    }

    @Test func `Cut and mutated input never traps, and both decoders agree`() {
        let sample = hex("02 61 62 63 20 02 04 31 32 33 34 35 e0 05 07 a0 03 00 7a")
        let count = 3 + 3 + 5 + 14 + 7 + 1
        feedHostileBytes(sample) { bytes throws(WireError) in
            let whole = try? decompress(bytes, count)
            let inPieces = try? expand(bytes, count, pieceBytes: 3, limit: 5)
            #expect(inPieces?.text == whole)
            _ = try decompress(bytes, count)
            return true
        }
        #expect((try? decompress(sample, count)) != nil)
    }
}
