/// What a batch knows about single commands, by their numbers. Kept apart from the bytes, which a batch that is written
/// while it is built does not keep.
struct CommandTraits {
    /// Those that leave an existing key as it is, with that key.
    var guarded: [Int: CommandLabel] = [:]
    /// Those that have had an effect at the source.
    var effective: Set<Int> = []
    /// Those whose effect at the source is not certain.
    var doubts: [Int: ReplyDoubt] = [:]
    /// Those that write what was read at the source.
    var refreshing: Set<Int> = []
    /// Those of no record: done again with every attempt.
    var outsideStream: Set<Int> = []

    /// The command `number` of another batch is `index` here.
    mutating func copy(_ number: Int, of other: CommandTraits, as index: Int) {
        guarded[index] = other.guarded[number]
        if other.effective.contains(number) { effective.insert(index) }
        doubts[index] = other.doubts[number]
        if other.refreshing.contains(number) { refreshing.insert(index) }
        if other.outsideStream.contains(number) { outsideStream.insert(index) }
    }
}

extension CommandBatch {
    /// The command just begun leaves an existing key `key` as it is: a reply that says so is a conflict.
    package func noteGuarded(key: String, database: UInt32) {
        traits.guarded[commandCount - 1] = CommandLabel(name: "", key: key, database: database)
    }

    /// The key that the command number `index` must not overwrite; `nil` for any other command.
    package func guardedKey(ofCommand index: Int) -> CommandLabel? { traits.guarded[index] }

    /// The command number `index` leaves an existing key as it is.
    func isGuarded(_ index: Int) -> Bool { traits.guarded[index] != nil }

    /// The command just begun has had an effect at the source: if the answer is 0, the target lacks its key.
    package func noteEffective() { traits.effective.insert(commandCount - 1) }

    /// Whether 0 in answer to the command number `index` means that the target lacks its key.
    package func isEffective(_ index: Int) -> Bool { traits.effective.contains(index) }

    /// The command just begun may have another effect than at the source, if the reply is 0 or a number that a double may not
    /// hold exactly.
    func noteDoubt(_ doubt: ReplyDoubt) { traits.doubts[commandCount - 1] = doubt }

    /// What such a reply to the command number `index` means; `nil` if nothing.
    func doubt(about index: Int) -> ReplyDoubt? { traits.doubts[index] }

    /// The commands from number `first` on write a value that was read at the source.
    package func noteRefreshing(from first: Int) {
        if first < commandCount { traits.refreshing.formUnion(first..<commandCount) }
    }

    /// The command number `index` writes a value that was read at the source.
    package func isRefreshing(_ index: Int) -> Bool { traits.refreshing.contains(index) }

    /// The commands from number `first` on are of no record.
    package func noteOutsideStream(from first: Int) {
        if first < commandCount { traits.outsideStream.formUnion(first..<commandCount) }
    }

    /// The command number `index` is of no record.
    func isOutsideStream(_ index: Int) -> Bool { traits.outsideStream.contains(index) }
}
