import Testing
import Wire

/// The elements of a listpack as text, an integer marked by `#`.
private func elements(_ bytes: [UInt8]) throws(WireError) -> [String] {
    var reader = try ListpackReader(bytes.span.bytes)
    var texts: [String] = []
    while let element = try reader.next() { texts.append(describe(element)) }
    return texts
}

private func validate(_ bytes: [UInt8]) throws(WireError) -> Int { try ListpackReader.validate(bytes.span.bytes) }

func describe(_ element: borrowing ListpackElement) -> String {
    switch element {
    case .integer(let value): "#\(value)"
    case .string(let bytes): bytes.text
    }
}

@Suite struct Listpacks {
    /// Protocol V13, V14, V15 and the node of V18, without key and string head.
    static let vectors: [(String, [String])] = [
        ("15 00 00 00 04 00 82 66 31 03 82 76 31 03 82 66 32 03 02 01 ff", ["f1", "v1", "f2", "#2"]),
        ("14 00 00 00 04 00 81 61 02 83 31 2e 35 04 81 62 02 02 01 ff", ["a", "1.5", "b", "#2"]),
        ("10 00 00 00 03 00 81 61 02 81 62 02 c3 e8 02 ff", ["a", "b", "#1000"]),
        ("07 00 00 00 00 00 ff", []),
    ]

    @Test func `The vectors are read and found sound`() throws {
        for (text, expected) in Self.vectors {
            let bytes = hex(text)
            #expect(try elements(bytes) == expected)
            #expect(try validate(bytes) == expected.count)
        }
    }

    /// Lengths and numbers on both sides of every bound of the encodings and of the backlen.
    @Test func `What the writer writes is read back, in every encoding`() throws {
        var writer = ListpackWriter()
        var expected: [String] = []
        let integers: [Int64] = [
            0, 127, 128, 4095, 4096, 32767, 32768, 8_388_607, 8_388_608, 2_147_483_647, 2_147_483_648, .max,
            -1, -4096, -4097, -32768, -32769, -8_388_608, -8_388_609, -2_147_483_648, -2_147_483_649, .min,
        ]
        for value in integers {
            writer.append(integer: value)
            expected.append("#\(value)")
        }
        for length in [0, 1, 63, 64, 125, 126, 127, 4095, 4096, 16377, 16378, 16379, 2_097_145, 2_097_146, 2_097_147] {
            let text = String(repeating: "x", count: length)
            writer.append(string: text)
            expected.append(text)
        }
        for (text, element) in [("12", "#12"), ("012", "012")] {
            let bytes = Array(text.utf8)
            writer.append(canonical: bytes.span.bytes)
            expected.append(element)
        }
        var buffer = ByteBuffer()
        let byteCount = writer.byteCount
        writer.finish(into: &buffer)
        let bytes = buffer.array
        #expect(bytes.count == byteCount)
        #expect(try elements(bytes) == expected)
        #expect(try validate(bytes) == expected.count)
        // the writer has started over
        buffer.removeAll()
        writer.finish(into: &buffer)
        #expect(buffer.array == hex("07 00 00 00 00 00 ff"))
    }

    @Test func `More elements than the count field holds are counted by walking`() throws {
        for count in [65_534, 65_535, 70_000] {
            var writer = ListpackWriter()
            for index in 0..<count { writer.append(integer: Int64(index & 63)) }
            var buffer = ByteBuffer()
            writer.finish(into: &buffer)
            let bytes = buffer.array
            #expect(bytes[4...5] == (count == 65_534 ? [0xFE, 0xFF] : [0xFF, 0xFF]))
            #expect(try validate(bytes) == count)
        }
        // unknown does not mean many
        let bytes = hex("09 00 00 00 ff ff 05 01 ff")
        #expect(try elements(bytes) == ["#5"])
    }

    @Test func `A backlen is written most significant group first`() {
        var writer = ListpackWriter()
        writer.append(string: String(repeating: "x", count: 298))  // 300 bytes with its head: 10 0101100
        var buffer = ByteBuffer()
        writer.finish(into: &buffer)
        #expect(buffer.array.suffix(3) == [0x02, 0xAC, 0xFF])
    }

    @Test func `Broken listpacks are refused, read or validated`() {
        let broken: [(String, WireError)] = [
            ("06 00 00 00 00 00", .malformed("truncated listpack", offset: 0)),
            ("08 00 00 00 00 00 ff", .malformed("listpack of another length than its head says", offset: 0)),
            ("06 00 00 00 00 00 ff", .malformed("listpack of another length than its head says", offset: 0)),
            ("07 00 00 00 00 00 00", .malformed("listpack without its end mark", offset: 6)),
            (
                "09 00 00 00 02 00 05 01 ff",
                .malformed("listpack with another number of elements than its head says", offset: 4)
            ),
            (
                "09 00 00 00 00 00 05 01 ff",
                .malformed("listpack with another number of elements than its head says", offset: 4)
            ),
            ("09 00 00 00 01 00 05 02 ff", .malformed("listpack element with a wrong backlen", offset: 6)),
            ("09 00 00 00 01 00 05 81 ff", .malformed("listpack element with a wrong backlen", offset: 6)),
            ("09 00 00 00 01 00 82 61 ff", .malformed("truncated listpack element", offset: 6)),
            ("08 00 00 00 01 00 05 ff", .malformed("truncated listpack element", offset: 6)),
            ("08 00 00 00 01 00 e1 ff", .malformed("truncated listpack element", offset: 6)),
            ("09 00 00 00 01 00 f0 01 ff", .malformed("truncated listpack element", offset: 6)),
            ("0c 00 00 00 01 00 f0 ff ff ff ff ff", .malformed("truncated listpack element", offset: 6)),
            ("09 00 00 00 01 00 f4 01 ff", .malformed("truncated listpack element", offset: 6)),
            ("09 00 00 00 01 00 ff 01 ff", .malformed("listpack end mark before its end", offset: 6)),
            ("09 00 00 00 01 00 f5 01 ff", .unsupported("listpack encoding", code: 0xF5, offset: 6)),
        ]
        for (text, expected) in broken {
            let bytes = hex(text)
            #expect(throws: expected, "\(text)") { try elements(bytes) }
            #expect(throws: expected, "\(text)") { try validate(bytes) }
        }
    }

    @Test func `A long element is refused if any byte of its backlen is wrong`() throws {
        for length in [200, 20_000] {
            var writer = ListpackWriter()
            writer.append(string: String(repeating: "x", count: length))
            var buffer = ByteBuffer()
            writer.finish(into: &buffer)
            let bytes = buffer.array
            let backlen = length == 200 ? 2 : 3
            for index in 1...backlen {
                var broken = bytes
                broken[bytes.count - 1 - index] ^= 0x80
                #expect(throws: WireError.malformed("listpack element with a wrong backlen", offset: 6)) {
                    try validate(broken)
                }
            }
        }
    }

    @Test func `Cut and mutated listpacks never trap, and reading and validating agree`() {
        var writer = ListpackWriter()
        for value in [5, 1000, -3000, 30_000, 3_000_000, 300_000_000, 1 << 40] as [Int64] {
            writer.append(integer: value)
            writer.append(string: String(repeating: "y", count: Int(value & 0xFF)))
        }
        var buffer = ByteBuffer()
        writer.finish(into: &buffer)
        feedHostileBytes(buffer.array) { bytes throws(WireError) in
            let count = try? validate(bytes)
            var lengthMended = bytes
            if bytes.count >= 7 {
                withUnsafeBytes(of: UInt32(bytes.count).littleEndian) { lengthMended.replaceSubrange(0..<4, with: $0) }
                lengthMended[bytes.count - 1] = 0xFF
                _ = try? elements(lengthMended)
            }
            let read = try elements(bytes)
            #expect(read.count == count)
            return true
        }
    }
}
