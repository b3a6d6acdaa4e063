import Wire

/// `SORT key [options] [STORE destination]`, taken apart. Over several shards the master takes every argument for a key, and
/// sends each shard the arguments that would be its keys: many of these fragments have no form that a SORT has.
struct SortCommand {
    private(set) var stores = false
    /// It reads keys that a pattern of BY or GET names.
    private(set) var readsByPattern = false
    private(set) var hasGet = false

    /// - Returns: `nil` for what can only be a fragment.
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
                // `BY nosort` names no key, and `GET #` the element itself.
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
    /// The text has a place for an element, as patterns of SORT have.
    fileprivate var isPattern: Bool {
        for place in 0..<byteCount where self[place] == UInt8(ascii: "*") { return true }
        return false
    }

    /// The text is an option of SORT.
    package var isSortWord: Bool {
        isWord("ASC") || isWord("DESC") || isWord("ALPHA") || isWord("LIMIT") || isWord("BY") || isWord("GET")
            || isWord("STORE")
    }
}
