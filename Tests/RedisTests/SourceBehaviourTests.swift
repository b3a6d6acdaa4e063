import Testing
import Wire

@testable import Redis

@Suite struct `The meaning of records by release` {
    @Test func `has a rule for every command that writes or is journalled`() {
        let verbatim = JournalledCommands.verbatim.keys.sorted()
        let written = JournalledCommands.asOthers.values.flatMap { $0.split(separator: " ").map(String.init) }
        #expect(verbatim.count == 98)
        #expect(JournalledCommands.asOthers.count == 45)
        let names = verbatim + written + JournalledCommands.others
        let missing = names.filter { name in
            let bytes = Array(name.utf8)
            return JournalRule.rule(for: CommandName(bytes.span.bytes)) == nil
        }
        #expect(missing == [])
    }

    @Test(arguments: [
        ("df-v1.36.0", SourceVersion(1, 36, 0)), ("v1.28.32", SourceVersion(1, 28, 32)),
        ("1.40.1-45-gabcdef", SourceVersion(1, 40, 1)), ("df-dev", nil), ("", nil), ("df-v1.36", nil),
    ])
    func `depends on the release, which is read as the source writes it`(_ text: String, _ version: SourceVersion?) {
        #expect(SourceVersion(text) == version)
    }

    @Test func `changes at each border between releases`() {
        for border in SourceBehaviour.borders {
            if let until = border.until {
                let last =
                    until.patch > 0
                    ? SourceVersion(until.major, until.minor, until.patch - 1)
                    : SourceVersion(until.major, until.minor - 1, 99)
                #expect(SourceBehaviour(version: last).has(border.trait), "\(border.trait)")
                #expect(!SourceBehaviour(version: until).has(border.trait), "\(border.trait)")
            }
            #expect(!border.evidence.isEmpty)
        }
        #expect(Set(SourceBehaviour.borders.map(\.trait)).count == SourceBehaviour.Trait.allCases.count)
    }

    @Test func `is that of the protocol's newest release if the source reports no release`() {
        let newest = SourceBehaviour(version: SourceVersion(99, 0, 0))
        #expect(SourceBehaviour(version: nil, protocolVersion: 5) == newest)
        #expect(SourceBehaviour(version: nil, protocolVersion: 9) == newest)
        #expect(SourceBehaviour(version: nil, protocolVersion: 4) == .v136)
        #expect(SourceBehaviour(version: nil, protocolVersion: nil) == .v136)
        #expect(SourceBehaviour(version: SourceVersion(1, 40, 1), protocolVersion: 4) == .v140)
    }
}
