import Replication
import Testing
import Wire

@testable import Service

@Suite struct `A line that names a key` {
    private func key(_ line: String, database: UInt32 = 0) -> (database: UInt32, text: String)? {
        guard case .key(let key)? = KeyLine.entry(Array(line.utf8), database: database) else { return nil }
        return (key.database, String(decoding: key.key, as: UTF8.self))
    }

    @Test(arguments: ["plain", "with spaces ", "{no json", #"{"a":1}"#, "[1]"])
    func `is the key itself if it has no other known form`(_ line: String) throws {
        let found = try #require(key(line, database: 3))
        #expect(found == (3, line))
    }

    @Test func `of df2redis check has the key in hexadecimal`() throws {
        let line = #"{"database":5,"kind":"missing","type":"string","keyHex":"00ff61"}"#
        #expect(
            KeyLine.entry(Array(line.utf8), database: 0)
                == .key(RefreshKey(database: 5, key: [0, 255, 97])))
        #expect(KeyLine.entry(Array(#"{"database":5,"keyHex":"0"}"#.utf8), database: 0) == .unreadable)
        #expect(KeyLine.entry(Array(#"{"database":5,"keyHex":"zz"}"#.utf8), database: 0) == .unreadable)
    }

    /// What `printableKey` makes of any bytes is read back as these.
    @Test func `of the dead letters has the key in the form of the log`() {
        for bytes: [UInt8] in [Array(0...127), Array(128...255), [34], [92, 92], [92, 120, 48], Array("plain".utf8)] {
            let quoted = printableKey(bytes.span.bytes).replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
            let line = #"{"time":1,"kind":"conflict","flow":0,"database":2,"key":"\#(quoted)","reason":"r"}"#
            #expect(
                KeyLine.entry(Array(line.utf8), database: 0) == .key(RefreshKey(database: 2, key: bytes)), "\(line)")
        }
    }

    @Test
    func `of the dead letters is unreadable if its key was cut off, and skipped if it has none`() {
        let long = printableKey([UInt8](repeating: 97, count: 300).span.bytes)
        for (text, entry) in [
            (long, KeySource.Entry?.some(.unreadable)), ("\"open", .unreadable), ("\"\\x1\"", .unreadable),
        ] {
            let quoted = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
            let line = #"{"time":1,"kind":"conflict","flow":0,"database":2,"key":"\#(quoted)","reason":"r"}"#
            #expect(KeyLine.entry(Array(line.utf8), database: 0) == entry, "\(line)")
        }
        let script = #"{"time":1,"kind":"script","flow":0,"database":0,"key":"\"LOAD\"","reason":"r"}"#
        #expect(KeyLine.entry(Array(script.utf8), database: 0) == nil)
        #expect(KeyLine.entry([], database: 0) == nil)
    }

    @Test func `is read from the command line and then from a file, with any line ends`()
        throws
    {
        let folder = try TemporaryFolder()
        let text = "one\r\ntwo\n\nthree"
        let path = try folder.write(text, to: "keys")
        var keys = try KeySource(keys: ["zero"], path: path, database: 1).open()
        var names: [String] = []
        while case .key(let key)? = try keys.next() { names.append(String(decoding: key.key, as: UTF8.self)) }
        #expect(names == ["zero", "one", "two", "three"])
        // A file of more than a block, with a line across its border.
        let many = (0..<60_000).map { "key:\($0)" }
        keys = try KeySource(keys: [], path: try folder.write(many.joined(separator: "\n"), to: "many"), database: 0)
            .open()
        names = []
        while case .key(let key)? = try keys.next() { names.append(String(decoding: key.key, as: UTF8.self)) }
        #expect(names == many)
    }
}
