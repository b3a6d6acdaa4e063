import Wire

extension JournalCommand {
    /// Whether RedisJSON may make another document of this command than Dragonfly (Protocol 5.6 row 24): a `JSON.MERGE` below
    /// the root, or an arithmetic command whose operand is no plain whole number.
    var mayDifferInRedisJSON: Bool {
        guard argumentCount >= 4 else { return false }
        if name == "JSON.MERGE" { return !argument(at: 2).isJSONRoot }
        guard name == "JSON.NUMINCRBY" || name == "JSON.NUMMULTBY" else { return false }
        return parseInteger(argument(at: 3)) == nil
    }
}

extension RawSpan {
    fileprivate var isJSONRoot: Bool { isText("$") || isText(".") }
}
