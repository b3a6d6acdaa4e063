import Base
import Testing
import Wire

/// The entries of a node as text, deleted ones in brackets.
private func entries(_ masterID: StreamID, _ listpack: [UInt8]) throws(WireError) -> [String] {
    var reader = try StreamNodeReader(masterID: masterID, listpack: listpack.span.bytes)
    var texts: [String] = []
    while let entry = try reader.next() {
        var words = ["\(entry.id)"]
        var fields = entry.fields
        var count = 0
        while let field = try fields.next() {
            words.append("\(describe(field.name))=\(describe(field.value))")
            count += 1
        }
        let fieldCount = entry.fieldCount
        #expect(count == fieldCount)
        let text = words.joined(separator: " ")
        texts.append(entry.isDeleted ? "[\(text)]" : text)
    }
    return texts
}

/// A listpack of numbers and texts.
private func listpack(_ elements: [any Sendable]) -> [UInt8] {
    var writer = ListpackWriter()
    for element in elements {
        if let number = element as? Int { writer.append(integer: Int64(number)) }
        if let text = element as? String { writer.append(string: text) }
    }
    var buffer = ByteBuffer()
    writer.finish(into: &buffer)
    return buffer.array
}

@Suite struct `Stream nodes` {
    /// The node of Protocol V18.
    private static let key = hex("0000000000000001 0000000000000001")
    private static let node = hex(
        """
        3e 00 00 00 19 00
        02 01 01 01 02 01 81 61 02 81 62 02 00 01
        02 01 00 01 00 01 01 01 02 01 05 01
        03 01 00 01 04 01 03 01 04 01 05 01
        00 01 01 01 df ff 02 01 01 81 63 02 81 78 02 06 01
        ff
        """)
    private static let one = StreamID(milliseconds: 1, sequence: 1)

    @Test func `The vector is read with its ids, deleted entry and fields`() throws {
        #expect(try entries(Self.one, Self.node) == ["1-1 a=#1 b=#2", "[1-5 a=#3 b=#4]", "2-0 c=x"])
        let (key, node) = (Self.key, Self.node)
        let reader = try StreamNodeReader(key: key.span.bytes, listpack: node.span.bytes)
        let (masterID, live, deleted) = (reader.masterID, reader.liveCount, reader.deletedCount)
        #expect(masterID == Self.one)
        #expect(live == 2)
        #expect(deleted == 1)
    }

    @Test func `A key that is no id is refused`() {
        for count in [0, 15, 17] {
            let key = [UInt8](repeating: 0, count: count)
            let node = Self.node
            #expect(throws: WireError.malformed("stream node with a key that is no id", offset: 0)) {
                let reader = try StreamNodeReader(key: key.span.bytes, listpack: node.span.bytes)
                _ = reader.liveCount
            }
        }
    }

    @Test func `Ids over the whole range of 64 bits are relative to the master id`() throws {
        // XADD 5-0, then 5-18446744073709551615: the difference is written as -1
        let master = StreamID(milliseconds: 5, sequence: 0)
        #expect(
            try entries(master, listpack([2, 0, 1, "f", 0, 2, 0, 0, "v", 4, 2, 0, -1, "w", 4]))
                == ["5-0 f=v", "5-18446744073709551615 f=w"])
    }

    @Test func `A node without entries is empty`() throws {
        #expect(try entries(Self.one, listpack([0, 0, 1, "f", 0])) == [])
    }

    @Test func `Broken nodes are refused`() {
        let wrongCount: StaticText = "stream node with another number of entries than its head says"
        let wrongElements: StaticText = "stream entry with a wrong number of elements"
        let truncated: StaticText = "truncated stream node"
        let text: StaticText = "stream node with text for a number"
        let range: StaticText = "stream node with a count out of range"
        let order: StaticText = "stream entry with an id before its forerunner's"
        let broken: [([any Sendable], StaticText)] = [
            ([], truncated), ([0], truncated), ([0, 0], truncated), ([0, 0, 1], truncated),
            ([0, 0, 1, "f"], truncated),
            (["x", 0, 0, 0], text), ([0, 0, "x", 0], text), ([-1, 0, 0, 0], range), ([0, 0, 1 << 32, 0], range),
            ([0, 0, 1, "f", 1], "stream node without the end of its master entry"),
            ([1, 0, 0, 0], wrongCount), ([0, 1, 0, 0], wrongCount), ([0, 0, 0, 0, 2, 0, 0, 3], wrongCount),
            ([1, 0, 0, 0, 3, 0, 0, 3], wrongCount), ([0, 1, 0, 0, 2, 0, 0, 3], wrongCount),
            ([1, 0, 0, 0, 2], truncated), ([1, 0, 0, 0, 2, 0], truncated), ([1, 0, 0, 0, 2, 0, 0], truncated),
            ([1, 0, 1, "f", 0, 2, 0, 0], truncated), ([1, 0, 0, 0, 0, 0, 0, 1, "f"], truncated),
            ([1, 0, 0, 0, 2, 0, 0, 4], wrongElements), ([1, 0, 0, 0, 0, 0, 0, 1, "f", "v", 5], wrongElements),
            ([1, 0, 0, 0, 2, 0, 0, "x"], text), ([1, 0, 0, 0, 0, 0, 0, -1, 2], range),
            ([1, 0, 0, 0, 2, 0, -1, 3], order), ([1, 0, 0, 0, 2, -1, 0, 3], order),
            ([2, 0, 0, 0, 2, 0, 1, 3, 2, 0, 1, 3], order),
        ]
        for (elements, reason) in broken {
            let error = #expect(throws: WireError.self, "\(elements)") { try entries(Self.one, listpack(elements)) }
            guard case .malformed(reason, _) = error else {
                Issue.record("\(elements): \(String(describing: error))")
                continue
            }
        }
        #expect(throws: WireError.unsupported("flags of a stream entry", code: 4, offset: 14)) {
            try entries(Self.one, listpack([1, 0, 0, 0, 4, 0, 0, 3]))
        }
    }

    @Test func `Cut and mutated nodes never trap`() {
        feedHostileBytes(Self.node) { bytes throws(WireError) in
            var lengthMended = bytes
            if bytes.count >= 7 {
                withUnsafeBytes(of: UInt32(bytes.count).littleEndian) { lengthMended.replaceSubrange(0..<4, with: $0) }
                lengthMended[bytes.count - 1] = 0xFF
                _ = try? entries(Self.one, lengthMended)
            }
            return try entries(Self.one, bytes).count == 3
        }
        // elements of the right form in any order: past the checks of the listpack
        var random = SplitMix64(seed: 5)
        for _ in 0..<10_000 {
            let elements = (0..<Int.random(in: 0...20, using: &random)).map { _ in
                Int.random(in: -1...4, using: &random)
            }
            _ = try? entries(Self.one, listpack(elements))
        }
    }
}

@Suite struct `Stream ids` {
    @Test func `Ids are read, ordered and written`() throws {
        let bytes = hex("0000000000000102 ffffffffffffffff")
        try expectWaits(bytes) { reader throws(WireError) in
            guard let id = StreamID(readBigEndian: &reader) else { return false }
            #expect(id == StreamID(milliseconds: 258, sequence: .max))
            return true
        }
        let id = StreamID(milliseconds: 258, sequence: .max)
        #expect(written { id.append(bigEndianTo: &$0) } == bytes)
        #expect(written { id.append(to: &$0) } == Array("258-18446744073709551615".utf8))
        #expect(written { id.appendBulk(to: &$0) } == Array("$24\r\n258-18446744073709551615\r\n".utf8))
        #expect(StreamID(milliseconds: 1, sequence: 9) < StreamID(milliseconds: 2, sequence: 0))
        #expect(StreamID(milliseconds: 2, sequence: 0) < StreamID(milliseconds: 2, sequence: 1))
    }

    @Test func `Unsigned numbers are written over their whole range`() {
        for value in [0, 9, 10, 9_223_372_036_854_775_807, 9_223_372_036_854_775_808, .max] as [UInt64] {
            #expect(written { $0.append(unsignedDecimal: value) } == Array("\(value)".utf8))
            let bulk = "$\("\(value)".utf8.count)\r\n\(value)\r\n"
            #expect(written { $0.appendBulk(unsignedDecimal: value) } == Array(bulk.utf8))
        }
    }
}
