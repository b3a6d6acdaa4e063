import Wire

/// A parsed `SORT key [options] [STORE destination]`.
///
/// If the command spans several shards, the source treats every argument as a key and sends each shard the arguments that
/// would be its keys. Many of these fragments are not valid SORT commands.
struct SortCommand {
    private(set) var stores = false
    /// Whether it reads keys that a pattern of BY or GET names.
    private(set) var readsByPattern = false
    private(set) var hasGet = false

    /// - Returns: `nil` if the command can only be a fragment.
    init?(_ command: borrowing JournalCommand) {
        guard command.argumentCount > 1 else { return nil }
        var arguments = command.arguments
        _ = arguments.next()
        guard let key = arguments.next() else { return nil }
        var lacksName = key.isSortWord
        while let option = arguments.next() {
            if option.isWord("ASC") || option.isWord("DESC") || option.isWord("ALPHA") { continue }
            if option.isWord("LIMIT") {
                guard arguments.next() != nil, arguments.next() != nil else { return nil }
                continue
            }
            guard let value = arguments.next() else { return nil }
            if option.isWord("STORE") {
                stores = true
                if value.isSortWord { lacksName = true }
            } else if option.isWord("BY") || option.isWord("GET") {
                // `BY nosort` names no key, and `GET #` means the element itself.
                if value.isPattern { readsByPattern = true }
                if option.isWord("GET") { hasGet = true }
            } else {
                return nil
            }
        }
        if stores, lacksName { return nil }
    }
}

extension RawSpan {
    /// Whether the text has a placeholder for an element, like the patterns of SORT.
    fileprivate var isPattern: Bool {
        for place in 0..<byteCount where self[place] == UInt8(ascii: "*") { return true }
        return false
    }

    /// Whether the text is an option of SORT.
    package var isSortWord: Bool {
        isWord("ASC") || isWord("DESC") || isWord("ALPHA") || isWord("LIMIT") || isWord("BY") || isWord("GET")
            || isWord("STORE")
    }
}
