import Wire

/// Says for every command that a batch can hold where its keys are among its arguments, and whether it may be repeated.
struct ClusterCommand: Equatable, Sendable {
    /// Places are numbers of arguments; the name is 0.
    enum Keys: Equatable, Sendable {
        case none
        case at(Int)
        /// Every n-th argument, beginning with the first. If the keys are in several slots, each slot gets a command of its
        /// own.
        case every(Int)
        /// The first two, and both are changed.
        case both
        /// The second key is made from the first.
        case copy
        /// The key at `at` is made from all keys beginning at `of`.
        case made(at: Int, of: Int)
        /// `dst n key...`
        case madeOfCounted
        /// `dst src ...`
        case madeOfOne
        /// The first key is read; the key after STORE or STOREDIST is made from it.
        case firstAndStored
        /// `EVAL script n key...`
        case script
    }

    /// Whether it is harmless to run a command, then others of its slot, and then all of them again: the result must be the
    /// same as after running them once.
    ///
    /// Only commands for which this is certain may be repeated. They state the new value of a key or element regardless of
    /// the old one. A repetition can meet errors, which mean nothing: the key may already have the type that a later command
    /// gives it.
    enum Repetition: Equatable, Sendable {
        case no, yes
        /// A SET without options that depend on the old value.
        case plainSet
        /// The command may be repeated if the argument after the key is a number rather than an option.
        case numberFirst
        /// The command may be repeated if it has REPLACE and an absolute deadline.
        case replacing
    }

    var keys: Keys
    var repetition = Repetition.no

    /// The command of a name that is not in the table. Its first argument counts as its only key.
    static let unknown = ClusterCommand(keys: .at(1))

    static func named(_ name: CommandName) -> ClusterCommand { table[name] ?? unknown }

    static func isKnown(_ name: CommandName) -> Bool { table[name] != nil || name.hasPrefix("JSON.") }

    private static let table: [CommandName: ClusterCommand] = {
        var table: [CommandName: ClusterCommand] = [:]
        func add(_ keys: Keys, _ repetition: Repetition = .no, _ names: CommandName...) {
            for name in names { table[name] = ClusterCommand(keys: keys, repetition: repetition) }
        }
        add(.none, .yes, "SELECT", "SCRIPT")
        add(.at(1), .plainSet, "SET")
        add(.at(1), .numberFirst, "ZADD", "GEOADD")
        add(.at(1), .replacing, "RESTORE")
        add(
            .at(1), .yes, "HSET", "HMSET", "HDEL", "SADD", "SREM", "ZREM", "PEXPIREAT", "PERSIST")
        add(.every(1), .yes, "DEL", "UNLINK")
        add(.every(2), .yes, "MSET")
        add(.every(2), .no, "MSETNX")
        add(.every(3), .no, "JSON.MSET")
        add(
            .at(1), .no, "APPEND", "BITFIELD", "DECR", "DECRBY", "GETDEL", "GETSET", "HINCRBY", "HINCRBYFLOAT",
            "HPERSIST",
            "HPEXPIREAT", "HSETNX", "INCR", "INCRBY", "INCRBYFLOAT", "LINSERT", "LPOP", "LPUSH", "LPUSHX", "LREM",
            "LSET",
            "LTRIM", "MOVE", "PFADD", "RPOP", "RPUSH", "RPUSHX", "SETBIT", "SETRANGE", "SPOP", "XACK", "XADD",
            "XAUTOCLAIM",
            "XCLAIM", "XDEL", "XSETID", "XTRIM", "ZINCRBY", "ZPOPMAX", "ZPOPMIN", "ZREMRANGEBYLEX", "ZREMRANGEBYRANK",
            "ZREMRANGEBYSCORE")
        add(.at(2), .no, "XGROUP")
        add(.both, .no, "RENAME", "RENAMENX", "SMOVE", "LMOVE", "RPOPLPUSH")
        add(.copy, .no, "COPY")
        add(.made(at: 1, of: 2), .no, "SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE", "PFMERGE")
        add(.made(at: 2, of: 3), .no, "BITOP")
        add(.madeOfCounted, .no, "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE")
        add(.madeOfOne, .no, "ZRANGESTORE", "GEOSEARCHSTORE")
        add(.firstAndStored, .no, "SORT", "GEORADIUS", "GEORADIUSBYMEMBER")
        add(.script, .no, "EVAL")
        return table
    }()

    // MARK: Of one command

    /// An argument that names a key, and whether the command may change the key.
    struct Key: Equatable, Sendable {
        var place: Int
        var isChanged: Bool
    }

    /// All keys of a command, in the order of its arguments.
    func keys(of words: [[UInt8]]) -> [Key] {
        switch keys {
        case .none: return []
        case .at(let place): return place < words.count ? [Key(place: place, isChanged: true)] : []
        case .every(let step): return stride(from: 1, to: words.count, by: step).map { Key(place: $0, isChanged: true) }
        case .both: return [1, 2].filter { $0 < words.count }.map { Key(place: $0, isChanged: true) }
        case .copy: return [1, 2].filter { $0 < words.count }.map { Key(place: $0, isChanged: $0 == 2) }
        case .made(let destination, let sources):
            guard destination < words.count else { return [] }
            return [Key(place: destination, isChanged: true)]
                + (sources..<max(sources, words.count)).map { Key(place: $0, isChanged: false) }
        case .madeOfCounted:
            guard words.count > 2, let count = words[2].asInteger, count >= 0 else {
                return words.count > 1 ? [Key(place: 1, isChanged: true)] : []
            }
            let end = min(words.count, 3 + Int(clamping: count))
            return [Key(place: 1, isChanged: true)] + (3..<max(3, end)).map { Key(place: $0, isChanged: false) }
        case .madeOfOne: return [1, 2].filter { $0 < words.count }.map { Key(place: $0, isChanged: $0 == 1) }
        case .firstAndStored:
            guard words.count > 1 else { return [] }
            var keys = [Key(place: 1, isChanged: false)]
            // The last one counts, as it does for the server.
            for place in 2..<max(2, words.count - 1) {
                let word = words[place]
                guard word.isWord("STORE") || word.isWord("STOREDIST") else { continue }
                keys = [keys[0], Key(place: place + 1, isChanged: true)]
            }
            return keys
        case .script:
            guard words.count > 2, let count = words[2].asInteger, count >= 0 else { return [] }
            let end = min(words.count, 3 + Int(clamping: count))
            let declared = (3..<max(3, end)).map { Key(place: $0, isChanged: true) }
            guard words[1].isText(JournalRewriter.storeIfThere) else { return declared }
            // The script runs the command in its arguments if its key exists.
            let inner = Array(words[end...])
            guard let name = inner.first?.asName else { return declared }
            return declared.map { Key(place: $0.place, isChanged: false) }
                + Self.named(name).keys(of: inner).map { Key(place: $0.place + end, isChanged: $0.isChanged) }
        }
    }

    /// Whether the server looks at one key at most to find out where the command belongs.
    ///
    /// - Parameter count: the number of arguments, including the name.
    func hasOneKey(_ count: Int) -> Bool {
        switch keys {
        case .none, .at: true
        case .every(let step): count <= 1 + step
        default: false
        }
    }

    static func hasOneKey(_ words: [[UInt8]]) -> Bool {
        (words.first?.asName).map { named($0).hasOneKey(words.count) } ?? false
    }

    /// - Parameters:
    ///   - reader: a reader at the first argument.
    ///   - count: the number of arguments, including the name.
    func mayRepeat(_ reader: borrowing ByteReader, _ count: Int) -> Bool {
        switch repetition {
        case .no: return false
        case .yes: return true
        case .plainSet:
            if count == 3 { return true }
            guard count == 5, let option = reader.argument(3) else { return false }
            return option.isWord("PXAT")
        case .numberFirst:
            guard let word = reader.argument(2), word.byteCount > 0 else { return false }
            let first = word[0]
            return (first >= UInt8(ascii: "0") && first <= UInt8(ascii: "9")) || first == UInt8(ascii: "-")
                || first == UInt8(ascii: "+") || first == UInt8(ascii: ".") || word.isWord("INF")
        case .replacing:
            guard count >= 5, let deadline = reader.argument(2) else { return false }
            var isAbsolute = deadline.isText("0")
            var replaces = false
            for place in 4..<count {
                guard let option = reader.argument(place) else { return false }
                if option.isWord("ABSTTL") { isAbsolute = true }
                if option.isWord("REPLACE") { replaces = true }
            }
            return isAbsolute && replaces
        }
    }
}

extension JournalCommand {
    /// Whether the command's keys are in several slots of a cluster, so that it must be run by a `CrossSlotCommand`.
    var crossesSlots: Bool {
        switch ClusterCommand.named(name).keys {
        case .none, .at, .every, .script: return false
        case .both, .copy, .made, .madeOfCounted, .madeOfOne, .firstAndStored: break
        }
        let words = words
        let slots = ClusterCommand.named(name).keys(of: words).map { KeySlot(of: words[$0.place]) }
        return slots.contains { $0 != slots.first }
    }

    /// Calls `body` with each key that the command may change, in the order of its arguments.
    package func forEachChangedKey(_ body: (RawSpan) -> Void) {
        let words = words
        for place in ClusterCommand.named(name).keys(of: words) where place.isChanged {
            let key = words[place.place]
            body(key.span.bytes)
        }
    }

    private var words: [[UInt8]] {
        var words: [[UInt8]] = []
        var arguments = arguments
        while let argument = arguments.next() { words.append(Array(copying: argument)) }
        return words
    }
}

extension ByteReader {
    /// Returns the argument at `place`, counted from the cursor, without moving the cursor.
    @_lifetime(copy self)
    fileprivate func argument(_ place: Int) -> RawSpan? {
        var reader = ByteReader(bytes, offset: offset)
        for _ in 0..<place { _ = reader.readBulkArgument() }
        return reader.readBulkArgument()
    }
}

/// Reads of a single argument.
extension [UInt8] {
    var asInteger: Int64? { parseInteger(span.bytes) }
    var asName: CommandName { CommandName(span.bytes) }
    func isWord(_ word: StaticString) -> Bool { span.bytes.isWord(word) }
    func isText(_ text: StaticString) -> Bool { span.bytes.isText(text) }
}
