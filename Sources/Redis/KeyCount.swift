import Wire

/// The number of keys in a database that are not df2redis' own, as far as the database's size and a first page of its keys
/// show it.
struct KeyCount: Sendable {
    /// If a database has more keys than this, df2redis' own keys among them are not looked for.
    static let most = 1000

    static let questions = [["DBSIZE"], TargetControl.scanWords("0")]

    /// `nil` if there are more pages.
    private(set) var number: Int?
    /// The keys on the first page that are not df2redis' own.
    private(set) var others: Set<[UInt8]> = []
    /// The cursor of the next page.
    private(set) var cursor = "0"

    /// - Parameter replies: the replies to `questions`.
    init(_ replies: ArraySlice<RESPValue>, excluding reserved: ReservedKeys) throws(TargetError) {
        let (size, page) = (replies[replies.startIndex], replies[replies.startIndex + 1])
        if case .error(let text) = size { throw TargetError.reply(text, to: "DBSIZE") }
        guard let count = size.int else { throw Self.noNumber }
        guard count <= Self.most else {
            number = Int(count)
            return
        }
        if case .error(let text) = page { throw TargetError.reply(text, to: "SCAN") }
        let first = try TargetControl.page(page)
        (others, cursor) = (Set(first.keys.filter { !reserved.contains($0) }), first.cursor)
        if cursor == "0" { number = others.count }
    }

    static var noNumber: TargetError {
        TargetError(.protocolViolation, "the target's answer to DBSIZE is not a number")
    }
}
