import Yams

/// One node of a YAML document, with its place: the only form in which the loader sees YAML.
struct YAMLNode: Sendable, Equatable {
    typealias Position = ConfigurationProblem.Position

    indirect enum Content: Sendable, Equatable {
        /// Nothing, `~` or `null`.
        case null
        /// A scalar, as written (without its quotes).
        case text(String)
        case list([YAMLNode])
        case section([Entry])
    }

    /// One key of a section and its value.
    struct Entry: Sendable, Equatable {
        let key: String
        let keyPosition: Position
        let value: YAMLNode
        /// Whether the section contains the same key before this one.
        var isDuplicate = false
    }

    let content: Content
    let position: Position

    /// Whether nothing is written here that could be a value: null or an empty text.
    var isBlank: Bool { content == .null || content == .text("") }
}

extension YAMLNode {
    /// A text that is no YAML, or a document of another shape than a configuration's.
    struct SyntaxError: Error, Equatable {
        let message: String
        let position: Position?
    }

    /// The maximum number of nodes with aliases written out: a few lines of aliases can expand to billions.
    private static let maximumNodes = 10_000

    /// Returns the root of a document made of sections, lists and scalars; for an empty document, a section without
    /// entries.
    ///
    /// The result includes an entry whose key occurs before in its section, with `isDuplicate` set.
    static func parse(_ yaml: String) throws(SyntaxError) -> YAMLNode {
        let (root, originals) = try compose(yaml)
        guard let root else { return YAMLNode(content: .section([]), position: Position(line: 1, column: 1)) }
        var budget = maximumNodes
        return try YAMLNode(root, originals, budget: &budget)
    }

    /// - Parameter originals: the names of keys that were renamed (`DuplicateKeys`).
    private init(_ node: Node, _ originals: [String: String], budget: inout Int) throws(SyntaxError) {
        position = Position(node.mark)
        budget -= 1
        guard budget >= 0 else {
            throw SyntaxError(message: "the document has more than \(Self.maximumNodes) values", position: position)
        }
        switch node {
        case .scalar(let scalar):
            let isNull = scalar.style == .plain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
            content = isNull ? .null : .text(scalar.string)
        case .sequence(let sequence):
            var items: [YAMLNode] = []
            for item in sequence { items.append(try YAMLNode(item, originals, budget: &budget)) }
            content = .list(items)
        case .mapping(let mapping):
            var entries: [Entry] = []
            for (key, value) in mapping {
                guard case .scalar(let name) = key else {
                    throw SyntaxError(message: "a key must be a word", position: Position(key.mark))
                }
                let original = originals[name.string]
                let entry = Entry(
                    key: original ?? name.string, keyPosition: Position(name.mark),
                    value: try YAMLNode(value, originals, budget: &budget), isDuplicate: original != nil)
                entries.append(entry)
            }
            content = .section(entries)
        case .alias:
            throw SyntaxError(message: "an alias without a value", position: position)
        }
    }

    /// Composes the document, as often as it takes to get past each duplicate key: Yams stops at the first.
    ///
    /// - Returns: `nil` for an empty document; and the names of keys that were renamed.
    private static func compose(_ yaml: String) throws(SyntaxError) -> (root: Node?, originals: [String: String]) {
        var duplicates = DuplicateKeys(yaml)
        while true {
            do {
                return (try Yams.compose(yaml: duplicates.text, .default, .default, .utf8), duplicates.originals)
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                let first = Position(context.mark)
                let key = keys.first ?? ""
                guard duplicates.markNext(key, after: first) else {
                    throw SyntaxError(message: "'\(key)' occurs twice in its section", position: first)
                }
            } catch let error as YamlError {
                throw SyntaxError(error)
            } catch {
                throw SyntaxError(message: "not readable as YAML (\(error))", position: nil)
            }
        }
    }
}

extension YAMLNode.Position {
    fileprivate init(_ mark: Mark?) {
        self.init(line: mark?.line ?? 1, column: mark?.column ?? 1)
    }
}

extension YAMLNode.SyntaxError {
    fileprivate init(_ error: YamlError) {
        switch error {
        case .scanner(let context, let problem, let mark, let yaml),
            .parser(let context, let problem, let mark, let yaml),
            .composer(let context, let problem, let mark, let yaml):
            var message = "not readable as YAML: " + (context.map { "\($0.text), " } ?? "") + problem
            if let hint = Self.hint(problem, mark.snippet(from: yaml)) { message += "; " + hint }
            self.init(message: message, position: .init(mark))
        case .reader(let problem, let offset, _, let yaml):
            let position = offset.map { YAMLNode.Position(of: $0, in: yaml) }
            self.init(message: "not readable as YAML: " + problem, position: position)
        default:
            self.init(message: "not readable as YAML: \(error)", position: nil)
        }
    }

    /// The likely cause of the two most frequent mistakes.
    private static func hint(_ problem: String, _ snippet: String) -> String? {
        switch problem {
        case "found character that cannot start any token" where snippet.contains("\t"): "indent with spaces, not tabs"
        case "did not find expected node content": "put a text that starts with '[' or '{' in quotes"
        default: nil
        }
    }
}

extension YAMLNode.Position {
    /// The place of the character at `offset`.
    fileprivate init(of offset: Int, in text: String) {
        let before = text.prefix(offset)
        let line = before.split(separator: "\n", omittingEmptySubsequences: false)
        self.init(line: line.count, column: (line.last?.unicodeScalars.count ?? 0) + 1)
    }
}
