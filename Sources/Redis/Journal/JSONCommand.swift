import Wire

extension JournalCommand {
    /// Whether RedisJSON may make another document of this command than Dragonfly (Protocol 5.6 row 24): a `JSON.MERGE` below
    /// the root, or an arithmetic command whose operand is no plain whole number.
    var mayDifferInRedisJSON: Bool {
        guard argumentCount >= 4 else { return false }
        if name == "JSON.MERGE" { return !argument(at: 2).isJSONRoot }
        return calculatesInJSON && parseInteger(argument(at: 3)) == nil
    }

    /// Whether the command calculates in a document. Dragonfly does so in double, and before v1.40 keeps no negative result.
    var calculatesInJSON: Bool { name == "JSON.NUMINCRBY" || name == "JSON.NUMMULTBY" }
}

extension RawSpan {
    fileprivate var isJSONRoot: Bool { isText("$") || isText(".") }
}
