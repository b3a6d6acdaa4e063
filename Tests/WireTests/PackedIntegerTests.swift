import Testing
import Wire

@Suite struct `Packed integers` {
    /// Protocol V1.
    private static let vectors: [(UInt64, String)] = [
        (0, "00"), (63, "3f"), (64, "40 40"), (255, "40 ff"), (16383, "7f ff"), (16384, "80 00 00 40 00"),
        (4_294_967_295, "80 ff ff ff ff"), (4_294_967_296, "81 00 00 00 01 00 00 00 00"),
        (.max, "81 ff ff ff ff ff ff ff ff"),
    ]

    @Test(arguments: vectors) func `The vectors are read and written`(value: UInt64, text: String) throws {
        let bytes = hex(text)
        #expect(written { $0.append(packed: value) } == bytes)
        try expectWaits(bytes) { reader throws(WireError) in
            guard let read = try reader.readPackedInteger() else { return false }
            #expect(read == value)
            return true
        }
        try expectWaits(bytes) { reader throws(WireError) in
            guard let read = try reader.readLength() else { return false }
            #expect(read == value)
            return true
        }
    }

    @Test func `Any other first byte is refused`() {
        for first in UInt8(0x82)...0xFF {
            let bytes = [0, first] + [UInt8](repeating: 0, count: 9)
            #expect(throws: WireError.unsupported("first byte of a packed integer", code: UInt64(first), offset: 1)) {
                var reader = ByteReader(bytes.span.bytes, offset: 1)
                _ = try reader.readPackedInteger()
            }
            #expect(throws: WireError.unsupported("first byte of a length", code: UInt64(first), offset: 1)) {
                var reader = ByteReader(bytes.span.bytes, offset: 1)
                _ = try reader.readLength()
            }
        }
    }

    @Test func `A count above its limit is refused by name`() throws {
        let bytes = hex("3f 40 40")
        var reader = ByteReader(bytes.span.bytes)
        #expect(try reader.readCount("hash fields", limit: 63) == 63)
        #expect(throws: WireError.tooLarge("hash fields", value: 64, limit: 63, offset: 1)) {
            var reader = ByteReader(bytes.span.bytes, offset: 1)
            _ = try reader.readCount("hash fields", limit: 63)
        }
    }
}
