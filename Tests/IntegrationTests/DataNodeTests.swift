import Foundation
import Lab
import Testing

@Suite struct `Values in a comparable form` {
    @Test(arguments: [
        (0.0, "0.0"), (-0.0, "-0.0"), (1, "1.0"), (2.5, "2.5"), (-1e-10, "-1e-10"), (1e300, "1e+300"),
        (.leastNonzeroMagnitude, "5e-324"),
        (0.1 + 0.2, "0.30000000000000004"), (1.1234567890123457, "1.1234567890123457"), (0.0001, "0.0001"),
        (0.00012, "0.00012"), (0.00001, "1e-05"), (1.5e-7, "1.5e-07"), (1e15, "1000000000000000.0"), (1e16, "1e+16"),
        (9_999_999_999_999_998, "9999999999999998.0"), (12_345_678_901_234_568, "1.2345678901234568e+16"),
        (3_479_099_956_230_698, "3479099956230698.0"), (1e22, "1e+22"), (123_456_789.123, "123456789.123"),
        (.infinity, "inf"), (-.infinity, "-inf"), (1.7976931348623157e308, "1.7976931348623157e+308"), (100, "100.0"),
    ])
    func `a score reads as Python's repr prints it`(_ value: Double, _ text: String) {
        #expect(pythonRepresentation(value) == text)
    }

    @Test func `bytes outside printable ASCII are escaped as Python's json does`() {
        let node = DataNode.bytes(Array("a\"\\/\u{8}\t\n\u{C}\r~".utf8) + [0, 0x1F, 0x7F, 0x80, 0xFF])
        let json = #""a\"\\/\b\t\n\f\r~\u0000\u001f\u007f\u0080\u00ff""#
        #expect(String(decoding: node.canonicalJSON, as: UTF8.self) == json)
    }

    @Test func `arrays and objects have a space after comma and colon, and sorted fields`() {
        let node = DataNode.array([
            .null, .integer(-3), .array([]),
            .object(unordered: [.init(name: Array("b".utf8), value: .text("2")), .init(name: [], value: .text("1"))]),
        ])
        #expect(String(decoding: node.canonicalJSON, as: UTF8.self) == #"[null, -3, [], {"": "1", "b": "2"}]"#)
    }

    @Test func `digests are SHA-256 of each content, in order`() throws {
        let digests = try sha256([[], Array("abc".utf8)])
        #expect(digests.first == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(digests.last == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }
}
