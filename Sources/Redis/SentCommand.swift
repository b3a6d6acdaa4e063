import Wire

/// One command of a batch, read back from the batch's bytes, to name it in messages and to decide what its reply means.
package struct SentCommand {
    /// The command's number in the batch.
    package let number: Int
    package private(set) var label: CommandLabel
    /// The command's keys with their database, in the order of its arguments. Empty for a batch that is not kept.
    package private(set) var keys: [(database: UInt32, key: [UInt8])] = []
    /// The name of the SORT or GEORADIUS ... STORE that the command is, or that its script runs.
    package private(set) var storing: String?
    /// The commands that it calls if it is a script, sorted.
    package private(set) var calls: [String] = []

    package init(_ number: Int, of batch: CommandBatch) {
        self.number = number
        var words: [[UInt8]] = []
        var database: UInt32 = 0
        batch.visitCommand(number) { found, reader, arguments in
            database = found
            for _ in 0..<arguments {
                guard let argument = reader.readBulkArgument() else { return }
                words.append(Array(copying: argument))
            }
        }
        guard let name = words.first else {
            label = batch.label(ofCommand: number)
            return
        }
        keys = ClusterCommand.named(CommandName(name.span.bytes)).keys(of: words).map { (database, words[$0.place]) }
        storing = Self.storing(words)
        calls = Self.calls(words, storing)
        label = batch.labelOfLongCommand(number) ?? CommandLabel(words, database: database)
    }

    private static func storing(_ words: [[UInt8]]) -> String? {
        let isScript = words[0].isWord("EVAL") && words.count > 4 && words[1].isText(JournalRewriter.storeIfThere)
        let name = isScript ? words[4] : words[0]
        guard name.isWord("SORT") || name.isWord("GEORADIUS") || name.isWord("GEORADIUSBYMEMBER") else { return nil }
        return String(decoding: name, as: UTF8.self)
    }
}

extension SentCommand {
    /// - Parameter storing: the command of a script that runs the one in its arguments.
    private static func calls(_ words: [[UInt8]], _ storing: String?) -> [String] {
        guard words[0].isWord("EVAL"), words.count > 1 else { return [] }
        if let storing { return [storing] }
        let script = String(decoding: words[1], as: UTF8.self)
        let calls = script.split(separator: "redis.call('", omittingEmptySubsequences: false).dropFirst()
        return Set(calls.map { String($0.prefix { $0 != "'" }) }).sorted()
    }
}

extension CommandLabel {
    fileprivate init(_ words: [[UInt8]], database: UInt32) {
        let name = words[0]
        self.init(name: String(decoding: name, as: UTF8.self), key: "", database: database)
        let place = Self.keyPlace(ofCommand: name.span.bytes)
        guard place > 0, place < words.count else { return }
        let key = words[place]
        self.key = printableKey(key.span.bytes)
    }
}
