import Testing
import Wire

/// Protocol 10: values as they are in a flow, read by several of the small readers together.
@Suite struct `The readers read the vectors of Protocol 10` {
    private func string(_ reader: inout ByteReader) throws -> [UInt8] {
        var buffer = ByteBuffer()
        let isWhole = try reader.readString(into: &buffer)
        #expect(isWhole)
        return buffer.array
    }

    private func text(_ reader: inout ByteReader) throws -> String {
        String(decoding: try string(&reader), as: UTF8.self)
    }

    private func elements(_ listpack: [UInt8]) throws -> [String] {
        var reader = try ListpackReader(listpack.span.bytes)
        var texts: [String] = []
        while let element = try reader.next() {
            var buffer = ByteBuffer()
            element.append(to: &buffer)
            texts.append(buffer.bytes.text)
        }
        return texts
    }

    @Test func `V9, a journal record in a full sync`() throws {
        let bytes = hex("d2 01 0f 06 00 0a 00 01 03 05 03 53 45 54 01 6b 01 76")
        var reader = ByteReader(bytes.span.bytes, offset: 1)
        #expect(try reader.readCount("journal records") == 1)
        let blob = try string(&reader)
        #expect(reader.remaining == 0)
        var journal = ByteReader(blob.span.bytes)
        guard case .select(0)? = try journal.readJournalRecord(maxPayloadBytes: 100),
            case .command(let command)? = try journal.readJournalRecord(maxPayloadBytes: 100)
        else {
            Issue.record("not SELECT and a command")
            return
        }
        let name = command.name
        #expect(name == "SET")
        #expect(journal.remaining == 0)
    }

    @Test func `V10, keys and values`() throws {
        for (vector, key, value) in [("c0 0c c0 f9", "12", "-7"), ("03 6e 75 6d c1 39 30", "num", "12345")] {
            let bytes = hex(vector)
            var reader = ByteReader(bytes.span.bytes)
            #expect(try text(&reader) == key)
            #expect(try text(&reader) == value)
            #expect(reader.remaining == 0)
        }
    }

    @Test func `V12, an intset`() throws {
        let bytes = hex("04 69 73 65 74 0e 02 00 00 00 03 00 00 00 01 00 02 00 2c 01")
        var reader = ByteReader(bytes.span.bytes)
        #expect(try text(&reader) == "iset")
        let intset = try string(&reader)
        #expect(reader.remaining == 0)
        let count = try IntsetReader.validate(intset.span.bytes)
        #expect(count == 3)
    }

    @Test func `V13 and V14, a hash and a sorted set in a listpack`() throws {
        let vectors = [
            (
                "01 68 15 15 00 00 00 04 00 82 66 31 03 82 76 31 03 82 66 32 03 02 01 ff",
                "h", ["f1", "v1", "f2", "2"]
            ),
            ("01 7a 14 14 00 00 00 04 00 81 61 02 83 31 2e 35 04 81 62 02 02 01 ff", "z", ["a", "1.5", "b", "2"]),
        ]
        for (vector, key, expected) in vectors {
            let bytes = hex(vector)
            var reader = ByteReader(bytes.span.bytes)
            #expect(try text(&reader) == key)
            #expect(try elements(try string(&reader)) == expected)
            #expect(reader.remaining == 0)
        }
    }

    @Test func `V15, a list of one node`() throws {
        let bytes = hex("01 6c 01 02 10 10 00 00 00 03 00 81 61 02 81 62 02 c3 e8 02 ff")
        var reader = ByteReader(bytes.span.bytes)
        #expect(try text(&reader) == "l")
        #expect(try reader.readCount("list nodes") == 1)
        #expect(try reader.readLength() == 2)
        #expect(try elements(try string(&reader)) == ["a", "b", "1000"])
        #expect(reader.remaining == 0)
    }

    @Test func `V16, a member's expiry in seconds`() throws {
        let bytes = hex("c2 2e e1 29 07 c0 ff")
        var reader = ByteReader(bytes.span.bytes)
        #expect(try reader.readStringHead() == .integer(1_795_394_734 - 1_675_209_600))
        #expect(try reader.readStringHead() == .integer(-1))
    }

    @Test func `V18, a stream with a group, to its last byte`() throws {
        let bytes = hex(
            """
            01 73 01 | 10 0000000000000001 0000000000000001 | 3e 3e 00 00 00 19 00
            02 01 01 01 02 01 81 61 02 81 62 02 00 01
            02 01 00 01 00 01 01 01 02 01 05 01
            03 01 00 01 04 01 03 01 04 01 05 01
            00 01 01 01 df ff 02 01 01 81 63 02 81 78 02 06 01
            ff
            02 | 02 00 | 01 01 | 01 05 | 03
            01 01 67 01 01 81 ffffffffffffffff
            01 0000000000000001 0000000000000001 0846ce05a2010000 01
            01 02 63 31 0846ce05a2010000 0846ce05a2010000
            01 0000000000000001 0000000000000001
            """)
        var reader = ByteReader(bytes.span.bytes)
        #expect(try text(&reader) == "s")
        #expect(try reader.readCount("stream nodes") == 1)
        let key = try string(&reader)
        let listpack = try string(&reader)
        var node = try StreamNodeReader(key: key.span.bytes, listpack: listpack.span.bytes)
        var ids: [String] = []
        while let entry = try node.next() { ids.append("\(entry.id)\(entry.isDeleted ? " deleted" : "")") }
        #expect(ids == ["1-1", "1-5 deleted", "2-0"])
        for expected in [2, 2, 0, 1, 1, 1, 5, 3, 1] as [UInt64] { #expect(try reader.readLength() == expected) }
        #expect(try text(&reader) == "g")
        for expected in [1, 1, .max, 1] as [UInt64] { #expect(try reader.readLength() == expected) }
        #expect(StreamID(readBigEndian: &reader) == StreamID(milliseconds: 1, sequence: 1))
        #expect(reader.readLittleEndian(Int64.self) == 0x01A2_05CE_4608)
        for expected in [1, 1] as [UInt64] { #expect(try reader.readLength() == expected) }
        #expect(try text(&reader) == "c1")
        #expect(reader.readLittleEndian(Int64.self) == 0x01A2_05CE_4608)
        #expect(reader.readLittleEndian(Int64.self) == 0x01A2_05CE_4608)
        #expect(try reader.readLength() == 1)
        #expect(StreamID(readBigEndian: &reader) == StreamID(milliseconds: 1, sequence: 1))
        #expect(reader.remaining == 0)
    }

    @Test func `V19, the head of a bloom filter`() throws {
        let head = hex("02 62 66 00 0000000000000040 7b14ae47e17a743f 00 01 2e 01 08 40 40")
        let bytes = head + [UInt8](repeating: 0xA5, count: 64)
        var reader = ByteReader(bytes.span.bytes)
        #expect(try text(&reader) == "bf")
        #expect(try reader.readLength() == 0)
        #expect(reader.readDouble() == 2.0)
        #expect(reader.readDouble() == 0.005)
        for expected in [0, 1, 46, 1, 8] as [UInt64] { #expect(try reader.readLength() == expected) }
        #expect(try reader.skipString())
        #expect(reader.remaining == 0)
    }

    @Test func `V21, a compressed blob that holds keys`() throws {
        let bytes = hex(
            """
            27 04 22 4d 18 68 40 2c 01 00 00 00 00 00 00 84
            10 00 00 00 | 5f 00 01 6b 01 76 05 00 ff 10 50 00 01 6b 01 76 | 00 00 00 00
            """)
        var reader = ByteReader(bytes.span.bytes)
        let blob = try string(&reader)
        #expect(reader.remaining == 0)
        var decompressor = BlobDecompressor()
        var plain = ByteBuffer()
        try decompressor.decompress(blob.span.bytes, format: .lz4, into: &plain)
        let content = plain.array
        var keys = ByteReader(content.span.bytes)
        var count = 0
        while let type = keys.readUInt8() {
            #expect(type == 0)
            #expect(try text(&keys) == "k")
            #expect(try text(&keys) == "v")
            count += 1
        }
        #expect(count == 60)
    }

    @Test func `V22, the payload of a RESTORE`() throws {
        let payload = hex("00 01 76 09 00 41 fa 9f 7e 4d be e9 7f")
        var reader = ByteReader(payload.span.bytes, offset: 1)
        #expect(try text(&reader) == "v")
        #expect(reader.readLittleEndian(UInt16.self) == 9)
        var crc = CRC64()
        crc.update(payload.span.bytes.extracting(0..<reader.offset))
        #expect(reader.readLittleEndian(UInt64.self) == crc.value)
        #expect(reader.remaining == 0)
    }
}
