/// A YAML text in which keys that occur twice are renamed one by one, so that the rest of the document can be read too.
///
/// Yams names only the first of equal keys and composes nothing. In block style, which is how configurations are
/// written, the next of them starts at the same column of a later line; a mark of private-use characters before it
/// makes it unique.
struct DuplicateKeys {
    typealias Position = ConfigurationProblem.Position

    private static let mark: Character = "\u{E000}"
    /// Each renamed key costs a reading of the whole text.
    private static let maximumMarked = 100

    private var lines: [Substring]
    private var marked = 0

    init(_ yaml: String) {
        lines = yaml.split(separator: "\n", omittingEmptySubsequences: false)
    }

    var text: String { lines.joined(separator: "\n") }

    /// Returns the name that a key had before `markNext(after:)` renamed it; nil for any other key.
    static func original(of key: String) -> String? {
        key.first == mark ? String(key.drop { $0 == mark }) : nil
    }

    /// Renames the next key equal to the one at `first`; returns false if none is to be found.
    mutating func markNext(after first: Position) -> Bool {
        let indent = first.column - 1
        guard marked < Self.maximumMarked, lines.indices.contains(first.line - 1),
            let key = Self.key(of: lines[first.line - 1].unicodeScalars.dropFirst(indent))
        else { return false }

        for index in first.line..<max(first.line, lines.count) {
            let line = lines[index].unicodeScalars
            let text = line.drop { $0 == " " }
            guard let start = text.first, start != "#", start != "\r" else { continue }
            let depth = line.count - text.count
            if depth < indent { return false }
            guard depth == indent, Self.key(of: text) == key else { continue }
            marked += 1
            let name = String(repeating: Self.mark, count: marked)
            lines[index] = Substring(String(repeating: " ", count: indent) + name + String(text))
            return true
        }
        return false
    }

    /// The plain key at the start of a text: what is before the first colon that ends a key.
    private static func key(of text: Substring.UnicodeScalarView) -> String? {
        guard let colon = text.firstIndex(of: ":") else { return nil }
        let next = text.index(after: colon)
        guard next == text.endIndex || " \t\r".unicodeScalars.contains(text[next]) else { return nil }
        let key = String(text[..<colon])
        let end = key.unicodeScalars.lastIndex { $0 != " " } ?? key.startIndex
        return key.isEmpty ? nil : String(key.unicodeScalars[...end])
    }
}
