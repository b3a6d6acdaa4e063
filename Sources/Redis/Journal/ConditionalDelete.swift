import Wire

/// A parsed `DELEX key IFEQ value|IFNE value|IFDEQ digest|IFDNE digest`, which exists since v1.37.
///
/// The journal has the command as the client sent it, even if it deleted nothing. The key is a string, and the target has
/// the same string as the source, so the condition gives the same result.
struct ConditionalDelete {
    private let comparesDigests: Bool
    private let deletesEqual: Bool

    /// - Returns: `nil` if the command has another form.
    init?(_ command: borrowing JournalCommand) {
        guard command.argumentCount == 4 else { return nil }
        let condition = command.argument(at: 2)
        comparesDigests = condition.isWord("IFDEQ") || condition.isWord("IFDNE")
        deletesEqual = condition.isWord("IFEQ") || condition.isWord("IFDEQ")
        guard comparesDigests || deletesEqual || condition.isWord("IFNE") else { return nil }
    }

    /// Appends a script that deletes the key if the source did.
    ///
    /// - Parameter command: the command from which this value was made.
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
