import Wire

/// Name and key of a command, for messages. Values never appear in it.
package struct CommandLabel: Equatable, Sendable, CustomStringConvertible {
    package var name: String
    package var key: String
    package var database: UInt32 = 0

    package init(name: String, key: String, database: UInt32 = 0) {
        (self.name, self.key, self.database) = (name, key, database)
    }

    package var description: String { key.isEmpty ? name : "\(name) \(key)" }

    /// Which argument of a command is its first key; 0 when it has none.
    static func keyPlace(ofCommand name: RawSpan) -> Int {
        if name.isWord("EVAL") { return 3 }
        // RENAMENX ends a value that was built aside: the key is the name that it takes.
        if name.isWord("XGROUP") || name.isWord("BITOP") || name.isWord("RENAMENX") { return 2 }
        return name.isWord("SELECT") || name.isWord("SCRIPT") ? 0 : 1
    }
}

extension CommandBatch {
    /// The command number `index` of the batch, as it was sent.
    package func label(ofCommand index: Int) -> CommandLabel {
        if let label = labelOfLongCommand(index) { return label }
        var label = CommandLabel(name: isRetained ? "" : "command \(index + 1) of a batch too large to keep", key: "")
        visitCommand(index) { database, reader, arguments in
            label.database = database
            guard let name = reader.readBulkArgument() else { return }
            label.name = name.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            let place = CommandLabel.keyPlace(ofCommand: name)
            guard place > 0, place < arguments else { return }
            for _ in 1..<place { _ = reader.readBulkArgument() }
            if let key = reader.readBulkArgument() { label.key = printableKey(key) }
        }
        return label
    }

    func labelOfLongCommand(_ index: Int) -> CommandLabel? {
        guard let longCommand, longCommand.index == index else { return nil }
        return CommandLabel(name: longCommand.label, key: "")
    }

    /// The labels of the command number `index`, one for each pair of a run.
    package func labels(ofCommand index: Int) -> [CommandLabel] {
        guard isRetained, isRun(index) else { return [label(ofCommand: index)] }
        var labels: [CommandLabel] = []
        visitCommand(index) { database, reader, _ in
            _ = reader.readBulkArgument()
            while let key = reader.readBulkArgument(), reader.readBulkArgument() != nil {
                labels.append(CommandLabel(name: "SET", key: printableKey(key), database: database))
            }
        }
        return labels
    }
}
