import Wire

/// `DELEX key IFEQ value|IFNE value|IFDEQ digest|IFDNE digest`, since v1.37: in the journal as the client sent it, also when
/// it deleted nothing. It is about a string, and the target's is the source's: it decides alike.
struct ConditionalDelete {
    private let comparesDigests: Bool
    private let deletesEqual: Bool

    /// - Returns: `nil` when the command has another form.
    init?(_ command: borrowing JournalCommand) {
        guard command.argumentCount == 4 else { return nil }
        let condition = command.argument(at: 2)
        comparesDigests = condition.isWord("IFDEQ") || condition.isWord("IFDNE")
        deletesEqual = condition.isWord("IFEQ") || condition.isWord("IFDEQ")
        guard comparesDigests || deletesEqual || condition.isWord("IFNE") else { return nil }
    }

    /// Appends a script that deletes the key of `command`, which this was made of, where the source did.
    func append(_ command: borrowing JournalCommand, to batch: CommandBatch) {
        batch.append("EVAL") {
            $0.append(comparesDigests ? ValueDigest.script : Self.value, followedBy: Self.script)
            $0.append("1")
            $0.append(command.argument(at: 1))
            $0.append(command.argument(at: 3))
            $0.append((deletesEqual ? "1" : "0") as StaticString)
        }
    }

    private static let script: StaticString = """
        if redis.call('TYPE',KEYS[1]).ok~='string' then return end
        local v=what(redis.call('GET',KEYS[1]))
        if v and (v==ARGV[1])==(ARGV[2]=='1') then redis.call('UNLINK',KEYS[1]) end
        """

    private static let value: StaticString = "local function what(s) return s end\n"
}
