import Wire

extension JournalCommand {
    /// Whether RedisJSON may make another document of this command than Dragonfly (Protocol 5.6 row 24): a path that may name
    /// several places, a `JSON.MERGE` below the root, or an arithmetic command whose operand is no plain whole number.
    var mayDifferInRedisJSON: Bool {
        if hasPathOfSeveralPlaces { return true }
        guard argumentCount >= 4 else { return false }
        if name == "JSON.MERGE" { return !argument(at: 2).isJSONRoot }
        return calculatesInJSON && parseInteger(argument(at: 3)) == nil
    }

    private var hasPathOfSeveralPlaces: Bool {
        let last = name == "JSON.MSET" ? argumentCount : min(argumentCount, 3)
        for place in stride(from: 2, to: last, by: 3) where argument(at: place).namesSeveralPlaces { return true }
        return false
    }

    /// Calls `body` with each key whose document the command replaces as a whole. The source removes the key's TTL, as a SET
    /// does, and RedisJSON keeps it.
    func forEachReplacedDocument(_ body: (RawSpan) -> Void) {
        switch name {
        case "JSON.SET" where argumentCount >= 4:
            // With NX there was no key.
            let isNew = argumentCount > 4 && argument(at: 4).isWord("NX")
            if argument(at: 2).isJSONRoot, !isNew { body(argument(at: 1)) }
        case "JSON.MSET":
            for place in stride(from: 1, to: argumentCount - 2, by: 3) where argument(at: place + 1).isJSONRoot {
                body(argument(at: place))
            }
        default: break
        }
    }

    /// Whether the command calculates in a document. Dragonfly does so in double, and before v1.40 keeps no negative result.
    var calculatesInJSON: Bool { name == "JSON.NUMINCRBY" || name == "JSON.NUMMULTBY" }
}

extension RawSpan {
    fileprivate var isJSONRoot: Bool { isText("$") || isText(".") }

    /// Whether this JSON path has a wildcard, a filter, a slice, several names, or descends to any depth.
    fileprivate var namesSeveralPlaces: Bool {
        for place in 0..<byteCount {
            switch self[place] {
            case UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: ":"), UInt8(ascii: ","): return true
            case UInt8(ascii: ".") where place > 0 && self[place - 1] == UInt8(ascii: "."): return true
            default: continue
            }
        }
        return false
    }
}
