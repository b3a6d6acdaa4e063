import Testing
import Wire

@Suite struct `A command's name` {
    private func name(_ text: String) -> CommandName {
        let bytes = Array(text.utf8)
        return CommandName(bytes.span.bytes)
    }

    @Test(arguments: ["SET", "set", "sEt"])
    func `is compared in any case`(text: String) {
        let set = name(text)
        #expect(set == "SET")
        #expect(set != "SETEX")
        #expect(set.hashValue == CommandName("SET").hashValue)
    }

    /// Only letters change: `@`, `[`, `` ` `` and `{` are their neighbours.
    @Test func `keeps bytes other than letters`() {
        #expect(name("a@[`{z.3") == "A@[`{Z.3")
        #expect(name("json.arrinsert-x\u{e9}") != name("JSON.ARRINSERT-X\u{c9}"))
        #expect(name("georadiusbymember_ro") == "GEORADIUSBYMEMBER_RO")
    }

    @Test func `can be tested for a prefix`() {
        #expect(name("JSON.MSET").hasPrefix("JSON."))
        #expect(!name("JSON").hasPrefix("JSON."))
    }

    @Test func `of more than 24 bytes equals no known name`() {
        #expect(name(String(repeating: "x", count: 24)) == "XXXXXXXXXXXXXXXXXXXXXXXX")
        #expect(name(String(repeating: "x", count: 25)) != "XXXXXXXXXXXXXXXXXXXXXXXX")
    }
}
