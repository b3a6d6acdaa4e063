/// One key of the configuration file: its path, what is allowed there, and its place in `Configuration`.
///
/// `Setting.all` is the one table that loading, checking, printing and the documentation are made from.
struct Setting: Sendable {
    /// The key path in the file, such as `source.addr`.
    let path: String
    /// What the key is for; in lines that fit the printed configuration.
    let help: String
    /// What is allowed here, as the end of 'expected ...'.
    let expected: String
    /// The reason why a known key has no meaning any more; nil for a key that has one.
    var obsolete: String?
    /// Stores an empty text; nil if an empty text means the same as a missing key.
    var storeEmpty: (@Sendable (inout Configuration) -> Void)?
    /// Whether an empty text, which means the default, causes a warning, because the operator may have meant something
    /// else.
    var isWarnedOfWhenEmpty = false
    /// Whether the printed configuration shows the key; another spelling of a key is read only.
    var isPrinted = true
    /// Stores a value that is not blank.
    ///
    /// - Throws: what was expected and what was found instead.
    let store: @Sendable (YAMLNode, inout Configuration) throws(Mismatch) -> Void
    /// The value as YAML.
    let print: @Sendable (Configuration) -> String

    /// A value that is not what the key expects.
    struct Mismatch: Error {
        let message: String
        let position: YAMLNode.Position
        /// Further mismatches of the same key.
        var others: [Mismatch] = []

        /// - Parameter mismatches: in the order of the file.
        static func all(_ mismatches: [Mismatch]) throws(Mismatch) {
            guard var first = mismatches.first else { return }
            first.others = Array(mismatches.dropFirst())
            throw first
        }
    }

    /// The last word of the path.
    var name: String { String(path.split(separator: ".").last ?? "") }
    /// The path without its last word; empty for a key of the top level.
    var section: String { path.split(separator: ".").dropLast().joined(separator: ".") }
}

extension Setting {
    typealias Place<Value> = any WritableKeyPath<Configuration, Value> & Sendable

    /// A key that always has a value.
    init<Value>(_ path: String, _ place: Place<Value>, _ form: SettingForm<Value>, _ help: String) {
        self.init(
            path: path, help: help, expected: form.expected,
            store: { (node, configuration) throws(Mismatch) in configuration[keyPath: place] = try form.read(node) },
            print: { YAMLText.scalar(form.print($0[keyPath: place])) })
    }

    /// A key whose value may be missing; printed as an empty text then.
    init<Value>(_ path: String, optional place: Place<Value?>, _ form: SettingForm<Value>, _ help: String) {
        self.init(
            path: path, help: help, expected: form.expected,
            store: { (node, configuration) throws(Mismatch) in configuration[keyPath: place] = try form.read(node) },
            print: { YAMLText.scalar($0[keyPath: place].map(form.print) ?? "") })
    }

    /// A key with a list of values; a single one may be without the list's brackets.
    init<Value>(_ path: String, list place: Place<[Value]>, _ form: SettingForm<Value>, _ help: String) {
        self.init(
            path: path, help: help, expected: "a list of " + form.expected,
            store: { (node, configuration) throws(Mismatch) in
                var values: [Value] = []
                var faults: [Mismatch] = []
                let items = if case .list(let items) = node.content { items } else { [node] }
                for item in items {
                    do throws(Mismatch) { values.append(try form.read(item)) } catch { faults.append(error) }
                }
                try Mismatch.all(faults)
                configuration[keyPath: place] = values
            },
            print: { "[" + $0[keyPath: place].map { YAMLText.scalar(form.print($0)) }.joined(separator: ", ") + "]" })
    }

    /// A key with a section whose own keys are values too.
    init<Key: Hashable & Sendable, Value>(
        _ path: String, map place: Place<[Key: Value]>, _ keyForm: SettingForm<Key>, _ form: SettingForm<Value>,
        expected: String, _ help: String
    ) {
        self.init(
            path: path, help: help, expected: expected,
            store: { (node, configuration) throws(Mismatch) in
                guard case .section(let entries) = node.content else {
                    throw Mismatch(message: "expected \(expected)", position: node.position)
                }
                var values: [Key: Value] = [:]
                var faults: [Mismatch] = []
                for entry in entries {
                    if entry.isDuplicate {
                        faults.append(Mismatch(message: "'\(entry.key)' occurs twice", position: entry.keyPosition))
                    }
                    let name = YAMLNode(content: .text(entry.key), position: entry.keyPosition)
                    var key: Key?
                    do throws(Mismatch) { key = try keyForm.read(name) } catch { faults.append(error) }
                    do throws(Mismatch) {
                        let value = try form.read(entry.value)
                        if let key { values[key] = value }
                    } catch {
                        faults.append(error)
                    }
                }
                // Keep what could be read, so that later checks see it.
                configuration[keyPath: place] = values
                try Mismatch.all(faults)
            },
            print: { configuration in
                let entries = configuration[keyPath: place].map { (keyForm.print($0.key), form.print($0.value)) }
                let texts = entries.sorted { $0.0 < $1.0 }.map { "\(YAMLText.scalar($0.0)): \(YAMLText.scalar($0.1))" }
                return "{" + texts.joined(separator: ", ") + "}"
            })
    }

    /// A key of df2redis v2.x that means nothing here: accepted whatever it holds, and named in a warning.
    init(obsolete path: String, _ reason: String) {
        self.init(
            path: path, help: reason, expected: "anything", obsolete: reason, isPrinted: false,
            store: { (_, _) throws(Mismatch) in }, print: { _ in "" })
    }

    /// The same key, but with an empty text that means no value instead of the default.
    func emptyMeansNone<Value>(_ place: Place<Value?>) -> Setting {
        var copy = self
        copy.storeEmpty = { $0[keyPath: place] = nil }
        return copy
    }

    /// The same key, with a warning when it is empty.
    var warnsWhenEmpty: Setting {
        var copy = self
        copy.isWarnedOfWhenEmpty = true
        return copy
    }

    /// The same key, read but left out of what is printed.
    var unprinted: Setting {
        var copy = self
        copy.isPrinted = false
        return copy
    }
}

extension SettingForm {
    /// Returns the value of a node.
    ///
    /// - Throws: what was expected and what was found instead; the text of a secret is never shown.
    fileprivate func read(_ node: YAMLNode) throws(Setting.Mismatch) -> Value {
        if case .text(let text) = node.content, !text.isEmpty, let value = parse(text) { return value }
        var message = "expected \(expected), found \(found(node))"
        if case .text(let text) = node.content, let word = KeySuggestion.nearest(to: text, among: choices) {
            message += "; did you mean '\(word)'?"
        }
        throw Setting.Mismatch(message: message, position: node.position)
    }

    private func found(_ node: YAMLNode) -> String {
        switch node.content {
        case .null: "nothing"
        case .list: "a list"
        case .section: "a section"
        // A text with an '@' may be a URL with a password in it.
        case .text(let text) where isSecret || text.contains("@"): "another text"
        case .text(let text) where Double(text) != nil: text.count <= 60 ? text : "a longer number"
        case .text(let text): text.count <= 60 ? "\"\(text)\"" : "\"\(text.prefix(60))...\""
        }
    }
}
