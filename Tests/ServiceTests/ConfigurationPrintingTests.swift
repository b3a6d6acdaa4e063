import Testing

@testable import Service

@Suite struct `A printed configuration` {
    @Test func `with the defaults loads without warnings and equals the defaults`() throws {
        let loaded = try load(Configuration.defaultYAML)
        var expected = try load(minimal).configuration
        expected.source.address = Configuration().source.address
        expected.target.address = Configuration().target.address
        #expect(loaded.configuration == expected)
        #expect(loaded.warnings.isEmpty)
    }

    @Test func `loads as the same configuration`() throws {
        let yaml =
            minimal + """
                taskName: "007"
                stateDir: "/var/lib/a \\"quoted\\" \\\\ folder\\t"
                shutdown: {drainSeconds: 0.125}
                spool: {memoryBytes: 1048577, dir: "~"}
                checkpoint: {keyPrefix: "null"}
                dashboard: {addr: "[::1]:8080"}
                """
        let first = try load(yaml).configuration
        let second = try load(first.yaml).configuration
        #expect(second == first)
        #expect(first.yaml.contains("  drainSeconds: 0.125\n"))
        #expect(first.yaml.contains("  memoryBytes: 1048577\n"))
        #expect(first.yaml.contains("  addr: \"[::1]:8080\"\n"))
    }

    @Test func `has lines of at most 120 characters`() {
        for line in Configuration.defaultYAML.split(separator: "\n") { #expect(line.count <= 120) }
    }

    @Test func `has each key once, and a purpose for each section`() {
        #expect(Set(Setting.all.map(\.path)).count == Setting.all.count)
        for setting in Setting.all where !setting.section.isEmpty { #expect(Setting.sections[setting.section] != nil) }
    }
}

@Suite struct `A scalar of YAML` {
    @Test(arguments: [
        "plain", "a/b.c", "", "~", "null", "yes", "-", "- a", "a: b", "a #b", "\"", "\\", "\n", "\u{7F}", "é", "#",
        "@a",
        "1", "tab\t", "\u{0}",
    ])
    func `is read back as the same text`(_ text: String) throws {
        let node = try YAMLNode.parse("key: \(YAMLText.scalar(text))\n")
        guard case .section(let entries) = node.content else { throw ConfigurationProblem(file: "", message: "none") }
        #expect(entries.first?.value.content == .text(text))
    }
}

@Suite struct `A size in bytes` {
    @Test(arguments: [
        ("0", 0), ("1024", 1024), ("1KiB", 1024), ("256MiB", 268_435_456), ("8 GiB", 8_589_934_592), ("2tib", 1 << 41),
        ("7B", 7),
    ])
    func `is a number with or without a binary unit`(_ text: String, _ bytes: Int) {
        #expect(ByteSize.parse(text) == bytes)
        #expect(ByteSize.parse(ByteSize.text(bytes)) == bytes)
    }

    @Test(arguments: [
        "", "MiB", "1MB", "1M", "1.5GiB", "-1", "+1", "1 ", "1KiBs", "8388608TiB", "99999999999999999999",
    ])
    func `is invalid in any other form`(_ text: String) {
        #expect(ByteSize.parse(text) == nil)
    }
}

@Suite struct `The key suggested for an unknown one` {
    @Test func `differs by one typing error, not by many`() {
        let keys = ["addr", "username", "password", "passwordFile", "tls"]
        #expect(KeySuggestion.nearest(to: "adrr", among: keys) == "addr")
        #expect(KeySuggestion.nearest(to: "user_name", among: keys) == "username")
        #expect(KeySuggestion.nearest(to: "PASSWORD-FILE", among: keys) == "passwordFile")
        #expect(KeySuggestion.nearest(to: "pasword", among: keys) == "password")
        #expect(KeySuggestion.nearest(to: "host", among: keys) == nil)
        #expect(KeySuggestion.nearest(to: "", among: keys) == nil)
    }

    @Test(arguments: [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3), ("abc", "abc", 0)])
    func `is chosen by the number of typing errors`(_ first: String, _ second: String, _ distance: Int) {
        #expect(KeySuggestion.distance(from: Array(first.utf8), to: Array(second.utf8)) == distance)
        #expect(KeySuggestion.distance(from: Array(second.utf8), to: Array(first.utf8)) == distance)
    }
}
