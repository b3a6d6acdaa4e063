import Testing

@testable import Replication

@Suite struct `Keys that got the values of others` {
    private var transfers = UnconfirmedTransfers()

    private func key(_ name: Character) -> RefreshKey { RefreshKey(database: 0, key: Array(String(name).utf8)) }

    /// - Parameter steps: each two names, of one record each.
    private mutating func note(_ steps: String..., from lsn: UInt64 = 1) {
        for (index, step) in steps.enumerated() {
            transfers.note(key(step.first!), to: key(step.last!), at: lsn + UInt64(index))
        }
    }

    private func destinations(of names: String, since lsn: UInt64 = 0) -> String {
        let found = transfers.destinations(of: names.map { key($0) }, since: lsn)
        return found.map { String(decoding: $0.key, as: UTF8.self) }.sorted().joined()
    }

    @Test mutating func `are found over several steps, in the order of the stream`() {
        note("a>b", "b>c", "c>d", "x>a", "d>e")
        #expect(destinations(of: "a") == "bcde")
        #expect(destinations(of: "b") == "cde")
        #expect(destinations(of: "x") == "a", "b had got its value before")
        #expect(destinations(of: "e") == "")
        #expect(destinations(of: "cx") == "ade")
    }

    @Test mutating func `are found from a given record on`() {
        note("a>b", "a>c", "b>d", from: 7)
        #expect(destinations(of: "a", since: 7) == "bcd")
        #expect(destinations(of: "a", since: 8) == "c")
        #expect(destinations(of: "a", since: 10) == "")
    }

    @Test mutating func `are found if the transfers form a circle`() {
        note("a>b", "b>a", "a>c")
        #expect(destinations(of: "a") == "bc")
        #expect(destinations(of: "b") == "ac")
    }

    @Test mutating func `are found by the earliest transfer`() {
        // c has the value by record 3, and again by record 5.
        note("a>b", "x>y", "b>c", "c>d", "a>c", "c>e")
        #expect(destinations(of: "a") == "bcde")
    }

    @Test mutating func `are dropped in order when the target has confirmed them`() {
        note("a>b", "a>c", "b>d")
        transfers.confirm(1)
        #expect(destinations(of: "a") == "c")
        transfers.confirm(0)
        #expect(destinations(of: "b") == "d")
        transfers.confirm(9)
        #expect(transfers.count == 0)
        note("a>z")
        #expect(destinations(of: "a") == "z")
    }
}
