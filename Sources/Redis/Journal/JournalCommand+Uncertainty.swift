package import Wire

/// What a record does not say of the source's value.
extension JournalCommand {
    /// The source keeps no larger element in a node with others, if its `--list_max_listpack_size` is -1 or below. By default
    /// the limit is 8 KiB.
    private static let largeElementBytes = 4096

    /// Whether a LINSERT or LSET may have put other elements of its list in another place (Protocol 5.6 row 27).
    func mayReorderList(_ source: SourceBehaviour) -> Bool {
        guard source.has(.misplacesListElements), argumentCount > 3 else { return false }
        return name == "LINSERT" || argument(at: 3).byteCount > Self.largeElementBytes
    }

    /// Whether a RESTORE gives its key a TTL that counts from when the source ran the command.
    package var hasRelativeExpiry: Bool {
        guard argumentCount >= 4, let ttl = parseInteger(argument(at: 2)), ttl > 0 else { return false }
        for index in 4..<argumentCount where argument(at: index).isWord("ABSTTL") { return false }
        return true
    }
}
