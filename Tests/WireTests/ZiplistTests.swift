import Testing
import Wire

private func elements(_ bytes: [UInt8]) throws(WireError) -> [String] {
    var reader = try ZiplistReader(bytes.span.bytes)
    var texts: [String] = []
    while let element = try reader.next() { texts.append(describe(element)) }
    return texts
}

private func validate(_ bytes: [UInt8]) throws(WireError) -> Int { try ZiplistReader.validate(bytes.span.bytes) }

/// A ziplist of elements that are encoded but for the length of their forerunner.
private func ziplist(_ encoded: [[UInt8]], count: UInt16? = nil) -> [UInt8] {
    var body: [UInt8] = []
    var before = 0
    var tail = 10
    for element in encoded {
        tail = 10 + body.count
        let prefix = before < 254 ? [UInt8(before)] : [0xFE] + littleEndian(UInt32(before))
        body += prefix + element
        before = prefix.count + element.count
    }
    let head = littleEndian(UInt32(body.count + 11)) + littleEndian(UInt32(tail))
    return head + littleEndian(count ?? UInt16(encoded.count)) + body + [0xFF]
}

private func littleEndian(_ value: some FixedWidthInteger & BitwiseCopyable) -> [UInt8] {
    written { $0.append(littleEndian: value) }
}

@Suite struct Ziplists {
    /// By hand from Protocol 3.7.2: "a", 2, "1.5".
    private static let sample = hex("15 00 00 00 0f 00 00 00 03 00 | 00 01 61 | 03 f3 | 02 03 31 2e 35 | ff")

    @Test func `A small ziplist is read`() throws {
        #expect(try elements(Self.sample) == ["a", "#2", "1.5"])
        #expect(try validate(Self.sample) == 3)
        #expect(try elements(hex("0b 00 00 00 0a 00 00 00 00 00 ff")) == [])
    }

    @Test func `Every encoding is read, after short and long predecessors`() throws {
        var encoded: [[UInt8]] = []
        var expected: [String] = []
        for length in [0, 1, 63, 64, 251, 252, 253, 300, 16383] {
            let text = String(repeating: "x", count: length)
            let head = length < 64 ? [UInt8(length)] : [0x40 | UInt8(length >> 8), UInt8(length & 0xFF)]
            encoded.append(head + Array(text.utf8))
            expected.append(text)
        }
        let long = String(repeating: "y", count: 70_000)
        encoded.append([0x80] + littleEndian(UInt32(70_000).bigEndian) + Array(long.utf8))
        expected.append(long)
        for value in [0, 12] as [UInt8] {
            encoded.append([0xF1 + value])
            expected.append("#\(value)")
        }
        for (value, bytes) in [
            (-128, "fe 80"), (127, "fe 7f"), (-32768, "c0 00 80"), (1000, "c0 e8 03"), (-8_388_608, "f0 00 00 80"),
            (100_000, "f0 a0 86 01"), (-2_147_483_648, "d0 00 00 00 80"), (.max, "e0 ff ff ff ff ff ff ff 7f"),
            (.min, "e0 00 00 00 00 00 00 00 80"),
        ] as [(Int64, String)] {
            encoded.append(hex(bytes))
            expected.append("#\(value)")
        }
        let bytes = ziplist(encoded)
        #expect(try elements(bytes) == expected)
        #expect(try validate(bytes) == expected.count)
        // 65535 says that only a walk gives it
        #expect(try elements(ziplist(encoded, count: 65_535)) == expected)
    }

    @Test func `Broken ziplists are refused`() {
        let otherCount = WireError.malformed("ziplist with another number of elements than its head says", offset: 8)
        let otherTail = WireError.malformed("ziplist with a wrong offset of its last element", offset: 4)
        let otherLength = WireError.malformed("ziplist of another length than its head says", offset: 0)
        let truncated = WireError.malformed("truncated ziplist element", offset: 10)
        let endMark = WireError.malformed("ziplist end mark before its end", offset: 10)
        let forerunner = WireError.malformed("ziplist element with a wrong length of the one before it", offset: 10)
        let broken: [(String, WireError)] = [
            ("0b 00 00 00 0a 00 00 00 00 00", .malformed("truncated ziplist", offset: 0)),
            ("0c 00 00 00 0a 00 00 00 00 00 ff", otherLength),
            ("0b 00 00 00 0a 00 00 00 00 00 00", .malformed("ziplist without its end mark", offset: 10)),
            ("0b 00 00 00 0b 00 00 00 00 00 ff", otherTail),
            ("0d 00 00 00 0a 00 00 00 02 00 00 f3 ff", otherCount),
            ("0d 00 00 00 0a 00 00 00 00 00 00 f3 ff", otherCount),
            ("0d 00 00 00 0a 00 00 00 01 00 01 f3 ff", forerunner),
            ("0c 00 00 00 0a 00 00 00 01 00 00 ff", truncated),
            ("0d 00 00 00 0a 00 00 00 01 00 00 01 ff", truncated),
            ("0d 00 00 00 0a 00 00 00 01 00 00 40 ff", truncated),
            ("0e 00 00 00 0a 00 00 00 01 00 00 80 00 ff", truncated),
            ("11 00 00 00 0a 00 00 00 01 00 00 80 ff ff ff ff ff", truncated),
            ("0d 00 00 00 0a 00 00 00 01 00 00 e0 ff", truncated),
            ("0f 00 00 00 0a 00 00 00 01 00 fe 00 00 00 ff", truncated),
            ("0d 00 00 00 0a 00 00 00 01 00 00 ff ff", endMark),
            ("0d 00 00 00 0a 00 00 00 01 00 ff f3 ff", endMark),
            ("0d 00 00 00 0a 00 00 00 01 00 00 c1 ff", .unsupported("ziplist encoding", code: 0xC1, offset: 10)),
        ]
        for (text, expected) in broken {
            #expect(throws: expected, "\(text)") { try elements(hex(text)) }
            #expect(throws: expected, "\(text)") { try validate(hex(text)) }
        }
    }

    @Test func `Cut and mutated ziplists never trap`() {
        let sample = ziplist([
            hex("01 61"), hex("f3"), hex("c0 e8 03"), [0x41, 0x00] + [UInt8](repeating: 1, count: 256), hex("f5"),
        ])
        feedHostileBytes(sample) { bytes throws(WireError) in
            var lengthMended = bytes
            if bytes.count >= 11 {
                lengthMended.replaceSubrange(0..<4, with: littleEndian(UInt32(bytes.count)))
                lengthMended[bytes.count - 1] = 0xFF
                _ = try? elements(lengthMended)
            }
            return try elements(bytes).count == 5
        }
    }
}
