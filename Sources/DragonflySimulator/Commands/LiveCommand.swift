import Base

/// A command of an ordinary client, with the store and the database that it acts on.
struct CommandContext {
    let core: MasterCore
    let store: LiveStore
    let request: Request
    let database: Int
}

/// A family of commands on the key space: one for each type of value, and one for keys.
protocol LiveCommand {
    var context: CommandContext { get }

    init(context: CommandContext)

    /// - Returns: `nil` if the command does not belong to this family.
    func execute() -> Reply?
}

/// Helpers that all families share.
extension LiveCommand {
    var core: MasterCore { context.core }
    var store: LiveStore { context.store }
    var request: Request { context.request }
    var database: Int { context.database }
    var name: String { request.name }
    var arguments: [[UInt8]] { request.arguments }

    static var noInteger: Reply { ErrorText.integer }
    static var noFloat: Reply { Reply.error("ERR value is not a valid float") }

    // MARK: The key space

    /// Returns the entry of a key. If its expiry has passed, the key is expired first, except during CLIENT PAUSE.
    func entry(_ key: [UInt8]) -> LiveStore.Entry? {
        guard let entry = store[database, key] else { return nil }
        if let time = entry.expiresAt, time <= WallClock.milliseconds(), !core.pause.isInForce(at: core.now) {
            core.expire(key, database: database, shard: store.shard(of: key))
            return nil
        }
        return entry
    }

    func set(_ key: [UInt8], _ value: Value, expiresAt: Int64? = nil) {
        store[database, key] = LiveStore.Entry(value: value, expiresAt: expiresAt)
    }

    /// Lets `body` change a value in place; an empty collection is deleted.
    func change<Result>(_ key: [UInt8], _ body: (inout Value?) -> Result) -> Result {
        var value = entry(key) == nil ? nil : store.takeValue(database, key)
        let result = body(&value)
        if let value { store.putValue(database, key, value) }
        return result
    }

    /// Lets `body` change a value of the given type in place; a missing key counts as an empty value.
    ///
    /// - Returns: `nil` when the key holds another type.
    func change<Contents, Result>(
        _ key: [UInt8], as type: ValueType<Contents>, _ body: (inout Contents) -> Result
    ) -> Result? {
        change(key) { value in
            guard var contents = type.contents(value ?? type.wrap(type.empty)) else { return nil }
            // Keeps `contents` uniquely referenced, so that the change does not copy it.
            value = type.wrap(type.empty)
            defer { value = type.wrap(contents) }
            return body(&contents)
        }
    }

    /// Returns the reply that `body` makes from the value of the first argument's key; a missing key counts as an empty
    /// value.
    func read<Contents>(_ type: ValueType<Contents>, _ body: (Contents) -> Reply) -> Reply {
        withKey { key in
            guard let value = entry(key)?.value else { return body(type.empty) }
            return type.view(value).map(body) ?? ErrorText.wrongType
        }
    }

    func withKey(_ body: ([UInt8]) -> Reply) -> Reply {
        arguments.first.map(body) ?? ErrorText.arity(name)
    }

    func persist(_ key: [UInt8]) -> Reply {
        guard entry(key)?.expiresAt != nil else { return .integer(0) }
        store[database, key]?.expiresAt = nil
        journal("PERSIST", key, key: key)
        return .integer(1)
    }

    // MARK: The journal

    /// Journals the command as it was received.
    func journalVerbatim(key: [UInt8]) { journal([Array(name.utf8)] + arguments, key: key) }

    func journal(_ words: [[UInt8]], key: [UInt8], transaction: UInt64? = nil, shardCount: Int = 1) {
        let record = JournalEntry(
            words, database: database, transaction: transaction ?? core.sharedTransaction ?? 0,
            shardCount: UInt64(shardCount))
        core.journal(record, shard: store.shard(of: key), keys: [DatabaseKey(database: database, key: key)])
    }

    func journal(_ line: String, _ words: [UInt8]..., key: [UInt8]) { journal([Array(line.utf8)] + words, key: key) }

    /// Journals a command over several keys: a record in each shard with its own part, under one transaction id.
    ///
    /// - Parameter parts: each key with the arguments that belong to it.
    func journalSplit(_ parts: [(key: [UInt8], words: [[UInt8]])]) {
        let byShard = Dictionary(grouping: parts) { store.shard(of: $0.key) }
        let transaction =
            byShard.count > 1 ? core.sharedTransaction ?? core.nextTransactionID() : core.sharedTransaction
        for (shard, parts) in byShard.sorted(by: { $0.key < $1.key }) {
            let record = JournalEntry(
                [Array(name.utf8)] + parts.flatMap(\.words), database: database, transaction: transaction ?? 0,
                shardCount: UInt64(byShard.count))
            core.journal(record, shard: shard, keys: parts.map { DatabaseKey(database: database, key: $0.key) })
        }
    }

    // MARK: Arguments

    /// Returns the deadline of an expiry command or option in Unix milliseconds.
    static func deadline(_ name: String, _ value: Int64) -> Int64 {
        switch name {
        case "PEXPIRE", "PX", "PSETEX": WallClock.milliseconds() + value
        case "EXPIREAT", "EXAT": value * 1000
        case "PEXPIREAT", "PXAT": value
        default: WallClock.milliseconds() + value * 1000
        }
    }

    /// Returns the index range of `first ... last`; negative indexes count from the end.
    static func range(_ first: Int64, _ last: Int64, count: Int) -> Range<Int> {
        let lower = max(0, Int(first < 0 ? first + Int64(count) : first))
        let upper = min(count, Int(last < 0 ? last + Int64(count) : last) + 1)
        return lower < upper ? lower..<upper : 0..<0
    }

    static func decimal(_ value: Int64) -> [UInt8] { Array(String(value).utf8) }
}
