import Testing
import Wire

private func numbers(_ bytes: [UInt8]) throws(WireError) -> [Int64] {
    var reader = try IntsetReader(bytes.span.bytes)
    var numbers: [Int64] = []
    while let number = reader.next() { numbers.append(number) }
    let count = reader.count
    #expect(count == numbers.count)
    return numbers
}

private func validate(_ bytes: [UInt8]) throws(WireError) -> Int { try IntsetReader.validate(bytes.span.bytes) }

@Suite struct Intsets {
    /// The first is Protocol V12.
    private static let vectors: [(String, [Int64])] = [
        ("02 00 00 00 03 00 00 00 01 00 02 00 2c 01", [1, 2, 300]),
        ("02 00 00 00 02 00 00 00 00 80 ff ff", [-32768, -1]),
        ("04 00 00 00 02 00 00 00 00 00 00 80 ff ff ff 7f", [-2_147_483_648, 2_147_483_647]),
        ("08 00 00 00 02 00 00 00 00 00 00 00 00 00 00 80 ff ff ff ff ff ff ff 7f", [.min, .max]),
        ("02 00 00 00 00 00 00 00", []),
    ]

    @Test func `Numbers of each width are read and found sound`() throws {
        for (text, expected) in Self.vectors {
            #expect(try numbers(hex(text)) == expected)
            #expect(try validate(hex(text)) == expected.count)
        }
    }

    @Test func `Broken intsets are refused`() {
        let broken: [(String, WireError)] = [
            ("02 00 00 00 00 00 00", .malformed("truncated intset", offset: 0)),
            ("03 00 00 00 00 00 00 00", .unsupported("width of an intset", code: 3, offset: 0)),
            ("02 00 00 00 02 00 00 00 01 00", .malformed("intset of another length than its head says", offset: 4)),
            ("02 00 00 00 01 00 00 00 01 00 00", .malformed("intset of another length than its head says", offset: 4)),
            ("08 00 00 00 ff ff ff ff", .malformed("intset of another length than its head says", offset: 4)),
        ]
        for (text, expected) in broken {
            #expect(throws: expected, "\(text)") { try numbers(hex(text)) }
            #expect(throws: expected, "\(text)") { try validate(hex(text)) }
        }
        for text in ["02 00 00 00 02 00 00 00 02 00 01 00", "02 00 00 00 02 00 00 00 02 00 02 00"] {
            #expect(throws: WireError.malformed("intset out of order", offset: 10)) { try validate(hex(text)) }
        }
    }

    @Test func `Cut and mutated intsets never trap`() {
        feedHostileBytes(hex(Self.vectors[0].0)) { bytes throws(WireError) in
            _ = try? validate(bytes)
            return try numbers(bytes).count == 3
        }
    }
}
