/// The databases of the target that a task may fill.
///
/// ```
/// all: every database   all-3-5: every database except these   0+5: only these
/// ```
package enum DatabaseScope: Equatable, Sendable {
    case all(except: Set<UInt32>)
    case only(Set<UInt32>)

    private static let all = "all"

    /// Reads a text. A text that cannot be read may mean any database.
    init(_ text: some StringProtocol) {
        let text = String(text)
        let words = text.split(separator: "-")
        if words.first == Self.all[...] {
            self = .all(except: Set(words.dropFirst().compactMap { UInt32($0) }))
            return
        }
        let names = text.split(separator: "+")
        let numbers = names.compactMap { UInt32($0) }
        self = numbers.count == names.count ? .only(Set(numbers)) : .all(except: [])
    }

    var text: String {
        switch self {
        case .all(let others): ([Self.all] + others.sorted().map(String.init)).joined(separator: "-")
        case .only(let databases): databases.sorted().map(String.init).joined(separator: "+")
        }
    }

    package func contains(_ database: UInt32) -> Bool {
        switch self {
        case .all(let others): !others.contains(database)
        case .only(let databases): databases.contains(database)
        }
    }

    /// Whether some database is in both.
    package func overlaps(_ other: Self) -> Bool {
        switch (self, other) {
        case (.all, .all): true
        case (.only(let databases), let scope), (let scope, .only(let databases)):
            databases.contains(where: scope.contains)
        }
    }

    package mutating func add(_ new: Set<UInt32>) {
        switch self {
        case .all(let others): self = .all(except: others.subtracting(new))
        case .only(let databases): self = .only(databases.union(new))
        }
    }
}
