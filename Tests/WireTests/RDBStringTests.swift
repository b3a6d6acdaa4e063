import Testing
import Wire

@Suite struct `RDB strings` {
    /// Encoded bytes, their head and their text.
    private static let vectors: [(String, RDBStringHead, String)] = [
        ("00", .raw(count: 0), ""),
        ("03 6e 75 6d", .raw(count: 3), "num"),
        ("c0 0c", .integer(12), "12"),
        ("c0 f9", .integer(-7), "-7"),
        ("c1 39 30", .integer(12345), "12345"),
        ("c1 00 80", .integer(-32768), "-32768"),
        ("c2 2e e1 29 07", .integer(120_185_134), "120185134"),
        ("c2 00 00 00 80", .integer(-2_147_483_648), "-2147483648"),
        ("c3 05 0a 00 61 e0 00 00", .compressed(count: 5, uncompressedCount: 10), "aaaaaaaaaa"),
    ]

    @Test func `Every encoding is read, decoded and skipped, and waits for missing bytes`() throws {
        for (text, head, string) in Self.vectors {
            let bytes = hex(text)
            var reader = ByteReader(bytes.span.bytes)
            #expect(try reader.readStringHead() == head)
            var decoded = ByteBuffer()
            try expectWaits(bytes) { reader throws(WireError) in try reader.readString(into: &decoded) }
            #expect(decoded.bytes.text == string)
            try expectWaits(bytes) { reader throws(WireError) in try reader.skipString() }
            var scratch = ByteBuffer()
            var calls = 0
            try expectWaits(bytes) { reader throws(WireError) in
                try reader.readInlineString(scratch: &scratch) { bytes in
                    calls += 1
                    #expect(bytes.text == string)
                }
            }
            #expect(calls == 1)
        }
    }

    @Test func `A string with a 14-bit and with a 32-bit length is read whole`() throws {
        for count in [64, 16_384] {
            let text = [UInt8](repeating: 0x78, count: count)
            let bytes = written { $0.append(rdbString: text.span.bytes) }
            var reader = ByteReader(bytes.span.bytes)
            var decoded = ByteBuffer()
            #expect(try reader.readString(into: &decoded))
            #expect(decoded.array == text)
            #expect(reader.remaining == 0)
        }
    }

    @Test func `Unknown encodings and lengths over the cap are refused`() {
        for first in UInt8(0xC4)...0xFF {
            let bytes = [first, 0, 0]
            #expect(throws: WireError.unsupported("string encoding", code: UInt64(first & 0x3F), offset: 0)) {
                var reader = ByteReader(bytes.span.bytes)
                _ = try reader.readStringHead()
            }
        }
        for (text, offset) in [
            ("80 40 00 00 01", 0), ("c3 80 40 00 00 01", 1), ("c3 05 81 7f ff ff ff ff ff ff ff", 2),
        ] {
            let bytes = hex(text)
            let error = #expect(throws: WireError.self) {
                var reader = ByteReader(bytes.span.bytes)
                _ = try reader.skipString()
            }
            guard case .tooLarge(_, _, 1_073_741_824, offset) = error else {
                Issue.record("\(text): \(String(describing: error))")
                continue
            }
        }
    }

    @Test func `An LZF error names the offset within the stream and appends nothing`() {
        let bytes = hex("00 c3 05 0b 00 61 e0 00 00")
        var decoded = ByteBuffer()
        let error = #expect(throws: WireError.self) {
            var reader = ByteReader(bytes.span.bytes, offset: 1)
            _ = try reader.readString(into: &decoded)
        }
        #expect(error == .malformed("LZF string ends before its text", offset: 9))
        #expect(decoded.array == [])
    }

    @Test func `Dragonfly's integer encoding is used for canonical 32-bit numbers only`() {
        let encoded: [(String, String)] = [
            ("0", "c0 00"), ("12", "c0 0c"), ("-7", "c0 f9"), ("-128", "c0 80"), ("128", "c1 80 00"),
            ("12345", "c1 39 30"), ("120185134", "c2 2e e1 29 07"), ("-2147483648", "c2 00 00 00 80"),
            ("2147483647", "c2 ff ff ff 7f"), ("2147483648", "0a \"2147483648\""), ("007", "03 \"007\""),
            ("-0", "02 \"-0\""), ("+1", "02 \"+1\""), ("-", "01 \"-\""), ("", "00"), ("1a", "02 \"1a\""),
        ]
        for (text, bytes) in encoded {
            let source = Array(text.utf8)
            #expect(written { $0.append(rdbCanonicalString: source.span.bytes) } == hex(bytes), "\(text)")
        }
    }

    @Test func `Canonical integers are those a 64-bit integer prints`() {
        for value in [0, 1, -1, 10, -10, .max, .min, 999_999_999_999] as [Int64] {
            let text = Array(value.description.utf8)
            #expect(text.span.bytes.canonicalInteger == value)
        }
        for other in [
            "", "-", "--1", "01", "-01", "-0", "+1", "9223372036854775808", "-9223372036854775809", "1 ", "1.0",
        ] {
            let text = Array(other.utf8)
            #expect(text.span.bytes.canonicalInteger == nil, "\(other)")
        }
    }

    @Test func `Cut and mutated strings never trap`() {
        let sample = hex("c3 05 0a 00 61 e0 00 00 03 6e 75 6d c2 2e e1 29 07 40 03 61 62 63")
        feedHostileBytes(sample) { bytes throws(WireError) in
            var reader = ByteReader(bytes.span.bytes)
            var decoded = ByteBuffer()
            while reader.remaining > 0 {
                guard try reader.readString(into: &decoded) else { return false }
            }
            return true
        }
    }
}
