import Wire

/// The keys of one command of a batch, in the order of its arguments, with their database.
package struct CommandKeys {
    package private(set) var all: [(database: UInt32, key: [UInt8])] = []
    /// The name of the SORT or GEORADIUS ... STORE that the command is, or that its script runs.
    package private(set) var storing: String?

    /// - Parameter index: the command's number; a batch that is not kept has no keys.
    package init(ofCommand index: Int, in batch: CommandBatch) {
        guard batch.isRetained else { return }
        var database: UInt32 = 0
        var keys: [(database: UInt32, key: [UInt8])] = []
        var storing: String?
        batch.visitCommands { number, reader, arguments in
            guard number <= index else { return }
            var words: [[UInt8]] = []
            var ahead = ByteReader(reader.bytes, offset: reader.offset)
            guard let word = ahead.readBulkArgument() else { return }
            let isSelect = word.isWord("SELECT")
            guard number == index || isSelect else { return }
            for _ in 0..<arguments {
                guard let argument = reader.readBulkArgument() else { return }
                words.append(argument.withUnsafeBytes { Array($0) })
            }
            if isSelect, number < index, let argument = words.last {
                database = UInt32(clamping: parseInteger(argument.span.bytes) ?? 0)
            }
            guard number == index, let word = words.first else { return }
            keys = ClusterCommand.named(CommandName(word.span.bytes)).keys(of: words).map {
                (database, words[$0.place])
            }
            storing = Self.storing(words)
        }
        (all, self.storing) = (keys, storing)
    }

    private static func storing(_ words: [[UInt8]]) -> String? {
        guard let first = words.first else { return nil }
        let isScript = first.isWord("EVAL") && words.count > 4 && words[1].isText(JournalRewriter.storeIfThere)
        let name = isScript ? words[4] : first
        guard name.isWord("SORT") || name.isWord("GEORADIUS") || name.isWord("GEORADIUSBYMEMBER") else { return nil }
        return String(decoding: name, as: UTF8.self)
    }
}
