import Testing
import Wire

@Suite struct `RESP replies` {
    /// Replies, their trees and their shapes.
    private static let vectors: [(String, RESPValue, RESPReplyShape)] = [
        ("+OK\r\n", .simple("OK"), .simple),
        ("+QUEUED\r\n", .simple("QUEUED"), .simple),
        ("+\r\n", .simple(""), .simple),
        ("+OKAY\r\n", .simple("OKAY"), .simple),
        ("-ERR no such key\r\n", .error("ERR no such key"), .error),
        (":0\r\n", .integer(0), .integer),
        (":-9223372036854775808\r\n", .integer(.min), .integer),
        (":9223372036854775807\r\n", .integer(.max), .integer),
        (":+7\r\n", .integer(7), .integer),
        ("$0\r\n\r\n", .bulk([]), .bulk),
        ("$5\r\na\r\nbc\r\n", .bulk(Array("a\r\nbc".utf8)), .bulk),
        ("$-1\r\n", .bulk(nil), .null),
        ("*-1\r\n", .array(nil), .null),
        ("*0\r\n", .array([]), .array(elements: 0, errors: 0)),
        (
            "*4\r\n+OK\r\n-ERR a\r\n:12\r\n*2\r\n-ERR b\r\n$-1\r\n",
            .array([.simple("OK"), .error("ERR a"), .integer(12), .array([.error("ERR b"), .bulk(nil)])]),
            .array(elements: 4, errors: 1)
        ),
    ]

    @Test func `Each type is read as a tree and scanned as a shape, and waits for missing bytes`() throws {
        for (text, value, shape) in Self.vectors {
            let bytes = Array(text.utf8)
            try expectWaits(bytes) { reader throws(WireError) in
                guard let read = try reader.readRESPValue() else { return false }
                #expect(read == value)
                return true
            }
            try expectWaits(bytes) { reader throws(WireError) in
                guard let scanned = try reader.scanReply() else { return false }
                #expect(scanned == shape, "\(text)")
                return true
            }
        }
    }

    @Test func `The one error among an EXEC's replies is found without a tree`() throws {
        let bytes = Array("*3\r\n+OK\r\n-WRONGTYPE x\r\n:1\r\n".utf8)
        var reader = ByteReader(bytes.span.bytes)
        let count = try #require(try reader.readReplyArrayHead())
        var errors: [(Int, RESPValue?)] = []
        for index in 0..<count {
            let start = reader.offset
            if try reader.scanReply() == .error {
                var again = ByteReader(bytes.span.bytes, offset: start)
                errors.append((index, try again.readRESPValue()))
            }
        }
        #expect(errors.map(\.0) == [1])
        #expect(errors.first?.1?.errorText == "WRONGTYPE x")
        let noArray = Array("+OK\r\n".utf8)
        var other = ByteReader(noArray.span.bytes)
        let head = try other.readReplyArrayHead()
        #expect(head == nil)
        #expect(other.offset == 0)
    }

    @Test func `The accessors return the value of their type, or nil`() {
        #expect(RESPValue.simple("OK").isOK)
        #expect(!RESPValue.bulk(Array("OK".utf8)).isOK)
        #expect(RESPValue.bulk(Array("12".utf8)).int == 12)
        #expect(RESPValue.simple("-3").int == -3)
        #expect(RESPValue.bulk(Array("x".utf8)).int == nil)
        #expect(RESPValue.bulk([0x61]).text == "a")
        #expect(RESPValue.bulk([0x61]).bytes == [0x61])
        #expect(RESPValue.bulk(nil).isNull && RESPValue.array(nil).isNull && !RESPValue.array([]).isNull)
        #expect(RESPValue.array([.integer(1)]).array == [.integer(1)])
        #expect(RESPValue.error("ERR").errorText == "ERR")
        #expect(RESPValue.error("ERR").text == nil)
    }

    @Test func `What RESP2 does not allow is refused`() {
        let deep = String(repeating: "*1\r\n", count: 17) + ":1\r\n"
        let long = "+" + String(repeating: "x", count: 65_537)
        let broken: [(String, WireError)] = [
            ("%1\r\n", .unsupported("type of a reply", code: 0x25, offset: 0)),
            ("_\r\n", .unsupported("type of a reply", code: 0x5F, offset: 0)),
            ("\r\n", .unsupported("type of a reply", code: 0x0D, offset: 0)),
            (":\r\n", .malformed("reply with a broken number", offset: 0)),
            (":1x\r\n", .malformed("reply with a broken number", offset: 0)),
            (":-\r\n", .malformed("reply with a broken number", offset: 0)),
            (":9223372036854775808\r\n", .malformed("reply with a broken number", offset: 0)),
            ("$-2\r\n", .malformed("reply with a broken length", offset: 0)),
            ("$\r\n", .malformed("reply with a broken length", offset: 0)),
            ("*x\r\n", .malformed("reply with a broken length", offset: 0)),
            ("$1\r\nabc", .malformed("bulk string without its line end", offset: 5)),
            ("+O\nK\r\n", .malformed("reply line with a bare line feed", offset: 0)),
            ("+O\rK\r\n", .malformed("reply line with a bare carriage return", offset: 0)),
            (
                "$536870913\r\n",
                .tooLarge("bytes of a reply", value: 536_870_913, limit: 536_870_912, offset: 0)
            ),
            (
                "*16777217\r\n",
                .tooLarge("elements of a reply", value: 16_777_217, limit: 16_777_216, offset: 0)
            ),
            (deep, .tooLarge("depth of a reply", value: 17, limit: 16, offset: 64)),
            (long, .tooLarge("bytes of a reply line", value: 65_537, limit: 65_536, offset: 0)),
        ]
        for (text, expected) in broken {
            let bytes = Array(text.utf8)
            let read = #expect(throws: WireError.self) {
                var reader = ByteReader(bytes.span.bytes)
                _ = try reader.readRESPValue()
            }
            let scanned = #expect(throws: WireError.self) {
                var reader = ByteReader(bytes.span.bytes)
                _ = try reader.scanReply()
            }
            #expect(read == expected, "\(text.prefix(20))")
            #expect(scanned == expected, "\(text.prefix(20))")
        }
    }

    @Test func `Cut and mutated replies never trap, and the tree and the scan agree`() {
        feedHostileBytes(Array(Self.vectors.map(\.0).joined().utf8)) { bytes throws(WireError) in
            var tree = ByteReader(bytes.span.bytes)
            var scan = ByteReader(bytes.span.bytes)
            while tree.remaining > 0 {
                let error: WireError?
                var value: RESPValue?
                do throws(WireError) {
                    value = try tree.readRESPValue()
                    error = nil
                } catch let thrown {
                    error = thrown
                }
                do throws(WireError) {
                    let shape = try scan.scanReply()
                    #expect((shape == nil) == (value == nil) && error == nil)
                } catch let thrown {
                    #expect(thrown == error)
                }
                if let error { throw error }
                #expect(tree.offset == scan.offset)
                if value == nil { return false }
            }
            return true
        }
    }

    /// Protocol V24.
    @Test func `An acknowledgement is written as the master expects it`() {
        let bytes = written { buffer in
            buffer.appendCommandHead(3)
            buffer.appendBulk("REPLCONF")
            buffer.appendBulk("ACK")
            buffer.appendBulk(decimal: 16)
        }
        #expect(String(decoding: bytes, as: UTF8.self) == "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$2\r\n16\r\n")
    }

    @Test func `plain replies are counted up to the first other one`() throws {
        let plain = "+QUEUED\r\n+OK\r\n+QUEUED\r\n"
        for (text, limit, count) in [
            (plain, 9, 3), (plain, 2, 2), (plain + ":0\r\n", 9, 3), ("-ERR\r\n" + plain, 9, 0), ("+OKAY\r\n", 9, 0),
            ("", 9, 0),
        ] {
            let bytes = Array(text.utf8)
            var reader = ByteReader(bytes.span.bytes)
            let found = reader.skipPlainReplies(atMost: limit)
            #expect(found == count)
        }
        for end in 0..<plain.utf8.count {
            let bytes = Array(plain.utf8.prefix(end))
            var reader = ByteReader(bytes.span.bytes)
            let found = reader.skipPlainReplies(atMost: 9)
            let offset = reader.offset
            #expect(found == (end < 9 ? 0 : end < 14 ? 1 : 2))
            #expect(offset == (end < 9 ? 0 : end < 14 ? 9 : 14))
        }
    }
}
