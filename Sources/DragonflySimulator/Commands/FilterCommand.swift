/// Bloom filters (BF.ADD only): values of a type that cannot be written to Redis.
struct FilterCommand: LiveCommand {
    let context: CommandContext

    func execute() -> Reply? {
        guard name == "BF.ADD" else { return nil }
        guard arguments.count == 2 else { return ErrorText.arity(name) }
        if let entry = entry(arguments[0]), entry.value != .bloomFilter { return ErrorText.wrongType }
        set(arguments[0], .bloomFilter, expiresAt: entry(arguments[0])?.expiresAt)
        journalVerbatim(key: arguments[0])
        return .integer(1)
    }
}
