import Testing

@testable import Comparison

@Suite struct `Two texts as JSON documents` {
    private func areEqual(_ a: String, _ b: String) -> Bool { JSONDocument.areEqual(Array(a.utf8), Array(b.utf8)) }

    @Test(arguments: [
        (#"{"id":7,"name":"x"}"#, #"{"name":"x","id":7}"#),
        (#"{"a":{"c":1,"b":[1,2]}}"#, #"{ "a": {"b":[1, 2], "c":1} }"#),
        ("[1e20]", "[100000000000000000000]"), ("1.0", "1"), ("1.5e0", "1.5"), ("[]", "[ ]"),
        (#""\u00e9""#, "\"é\""), ("18446744073709551615", "18446744073709551615 "),
    ])
    func `are equal if only the order of members or the spelling differs`(_ a: String, _ b: String) {
        #expect(areEqual(a, b))
    }

    @Test(arguments: [
        ("[1,2]", "[2,1]"), ("1", "true"), ("0", "false"), ("null", "0"), (#""1""#, "1"), ("{}", "[]"),
        (#"{"a":1}"#, #"{"a":1,"b":null}"#), (#"{"a":1}"#, #"{"b":1}"#), ("9007199254740993", "9007199254740992"),
        ("18446744073709551615", "18446744073709551614"), ("1.5", "1.25"),
        // Composed and decomposed.
        ("\"\u{E9}\"", "\"e\u{301}\""),
    ])
    func `differ if one value differs`(_ a: String, _ b: String) { #expect(!areEqual(a, b)) }

    @Test func `that cannot be parsed are equal only if their bytes are`() {
        #expect(!areEqual("{", "}"))
        #expect(areEqual("{", "{"))
        #expect(!JSONDocument.areEqual(nil, Array("null".utf8)))
        let deep = String(repeating: "[", count: 3000) + String(repeating: "]", count: 3000)
        #expect(!areEqual(deep, deep + " "))
    }
}
