import Wire

extension JournalCommand {
    /// Calls `body` with each key that the command writes, moves away from, or takes what it stores from; with the database
    /// that the key is in.
    ///
    /// Rather one too many than one too few: a key named here that the source does not write is at worst removed before it
    /// is brought. Of unknown commands, and of those whose shape is not known, it is the first argument.
    ///
    /// - Parameter database: the one that the command runs in.
    package func forEachWrittenKey(in database: UInt32, _ body: (RawSpan, UInt32) -> Void) {
        var arguments = arguments
        guard let first = arguments.next(), let name = CommandName(first) else { return }
        let layout = Self.layouts[name] ?? (name.hasPrefix("FT.") ? .none : .first)
        switch layout {
        case .none: return
        case .first:
            if let key = arguments.next() { body(key, database) }
        case .second:
            _ = arguments.next()
            if let key = arguments.next() { body(key, database) }
        case .firstTwo:
            if let key = arguments.next() { body(key, database) }
            if let key = arguments.next() { body(key, database) }
        case .every(let step):
            while let key = arguments.next() {
                body(key, database)
                for _ in 1..<step { _ = arguments.next() }
            }
        case .move:
            guard let key = arguments.next() else { return }
            body(key, database)
            if let destination = moveDestination { body(key, destination) }
        case .firstAndStored:
            if let key = arguments.next() { body(key, database) }
            while let option = arguments.next() {
                // A member or a pattern may read like the option; then a key too many is named.
                guard option.isWord("STORE") || option.isWord("STOREDIST") else { continue }
                var behind = arguments
                if let key = behind.next() { body(key, database) }
            }
        }
    }

    /// Where `MOVE key db` moves to; `nil` for any other command.
    package var moveDestination: UInt32? {
        guard name.isWord("MOVE"), argumentCount == 3 else { return nil }
        return parseInteger(argument(at: 2)).flatMap { UInt32(exactly: $0) }
    }

    private enum KeyLayout {
        case none, first, second, firstTwo
        /// One in so many arguments.
        case every(Int)
        case move
        /// The first, and those behind STORE and STOREDIST.
        case firstAndStored
    }

    private static let layouts: [CommandName: KeyLayout] = [
        "PING": .none, "SCRIPT": .none, "FLUSHALL": .none, "FLUSHDB": .none, "DFLYCLUSTER": .none, "STICK": .none,
        "SHRINK": .none,
        "BITOP": .second, "XGROUP": .second,
        "RENAME": .firstTwo, "RENAMENX": .firstTwo, "COPY": .firstTwo, "SMOVE": .firstTwo, "LMOVE": .firstTwo,
        "RPOPLPUSH": .firstTwo,
        "DEL": .every(1), "UNLINK": .every(1), "PFMERGE": .every(1), "MSET": .every(2), "MSETNX": .every(2),
        "JSON.MSET": .every(3),
        "MOVE": .move, "SORT": .firstAndStored, "GEORADIUS": .firstAndStored, "GEORADIUSBYMEMBER": .firstAndStored,
    ]
}
