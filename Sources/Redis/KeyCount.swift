import Wire

/// How many keys of others a database holds, as far as its size and a first page of its keys say.
struct KeyCount: Sendable {
    /// Beyond so many keys those of ours among them are not looked for.
    static let most = 1000

    static let questions = [["DBSIZE"], TargetControl.scanWords("0")]

    /// `nil`: there are more pages.
    private(set) var number: Int?
    /// Keys of others on the first page.
    private(set) var others: Set<[UInt8]> = []
    /// Where the next page begins.
    private(set) var cursor = "0"

    /// - Parameter replies: to `questions`.
    init(_ replies: ArraySlice<RESPValue>, besides reserved: ReservedKeys) throws(TargetError) {
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
