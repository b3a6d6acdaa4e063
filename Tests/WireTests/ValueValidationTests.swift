import Testing

@testable import Wire

@Suite("Values that are passed on whole")
struct ValueValidationTests {
    private func check(_ type: RDBType, _ bytes: [UInt8]) throws(WireError) {
        var scratch = ByteBuffer()
        try ValueValidation.check(type, body: bytes.span.bytes, scratch: &scratch)
    }

    /// The bodies of Protocol V12 (intset), V13 (hash), V15 (list).
    private static let sound: [(RDBType, [UInt8])] = [
        (.setIntset, [14, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 2, 0, 0x2C, 1]),
        (
            .hashListpack,
            [
                0x15, 0x15, 0, 0, 0, 4, 0, 0x82, 0x66, 0x31, 3, 0x82, 0x76, 0x31, 3, 0x82, 0x66, 0x32, 3, 2, 1, 0xFF,
            ]
        ),
        (.list, [1, 2, 0x10, 0x10, 0, 0, 0, 3, 0, 0x81, 0x61, 2, 0x81, 0x62, 2, 0xC3, 0xE8, 2, 0xFF]),
    ]

    @Test("pass when they are sound", arguments: sound)
    func passes(_ type: RDBType, _ body: [UInt8]) throws {
        try check(type, body)
    }

    @Test("are refused when the packed form inside is broken", arguments: sound)
    func refused(_ type: RDBType, _ body: [UInt8]) {
        var refusals = 0
        for place in body.indices.dropFirst(type == .list ? 3 : 1) {
            var broken = body
            broken[place] ^= 0xFF
            do { try check(type, broken) } catch { refusals += 1 }
        }
        // Only a change of the payload's own bytes can go unnoticed.
        #expect(refusals >= 6, "\(refusals) of \(body.count)")
    }
}
