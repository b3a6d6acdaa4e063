import Wire

extension JournalCommand {
    /// Calls `body` with each key that the command writes, moves away from or stores from, and with the database of the key.
    ///
    /// It may report a key too many, but never one too few: a reported key that the source does not write is at worst
    /// removed before it is replicated. For unknown commands, and for commands of unknown form, it reports the first
    /// argument.
    ///
    /// - Parameter database: the database in which the command runs.
    package func forEachWrittenKey(in database: UInt32, _ body: (RawSpan, UInt32) -> Void) {
        var arguments = arguments
        _ = arguments.next()
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
            if let destination = otherDatabase { body(key, destination) }
        case .copy:
            if let key = arguments.next() { body(key, database) }
            if let key = arguments.next() { body(key, otherDatabase ?? database) }
        case .firstAndStored:
            if let key = arguments.next() { body(key, database) }
            while let option = arguments.next() {
                // A member or a pattern may look like the option; then a key too many is reported.
                guard option.isWord("STORE") || option.isWord("STOREDIST") else { continue }
                var following = arguments
                if let key = following.next() { body(key, database) }
            }
        }
    }

    /// Calls `body` with each key whose value the command copies or moves within the target, with the key that gets it, and
    /// with the database of the latter. It may report a key too many, but never one too few.
    ///
    /// Other commands that store what they read have the result in their records, not here.
    package func forEachValueTransfer(
        in database: UInt32, _ body: (_ key: RawSpan, _ destination: RawSpan, _ other: UInt32) -> Void
    ) {
        guard argumentCount > 2 else { return }
        if name == "RENAME" || name == "RENAMENX" {
            body(argument(at: 1), argument(at: 2), database)
        } else if name == "MOVE" {
            if let otherDatabase { body(argument(at: 1), argument(at: 1), otherDatabase) }
        } else if name == "COPY" {
            body(argument(at: 1), argument(at: 2), otherDatabase ?? database)
        } else if name == "SORT" || name == "GEORADIUS" || name == "GEORADIUSBYMEMBER" {
            let key = argument(at: 1)
            var options = arguments
            for _ in 0..<2 { _ = options.next() }
            while let option = options.next() {
                guard option.isWord("STORE") || option.isWord("STOREDIST") else { continue }
                var following = options
                if let destination = following.next() { body(key, destination, database) }
            }
        }
    }

    /// The database to which `MOVE key db` moves the key; `nil` for any other command.
    package var moveDestination: UInt32? { name == "MOVE" ? otherDatabase : nil }

    /// The database to which `MOVE key db` or `COPY key to DB db` writes, if it names one. No other command of a Dragonfly
    /// does.
    package var otherDatabase: UInt32? {
        if name == "MOVE" {
            guard argumentCount == 3 else { return nil }
            return parseInteger(argument(at: 2)).flatMap { UInt32(exactly: $0) }
        }
        guard name == "COPY" else { return nil }
        var arguments = arguments
        for _ in 0..<3 { _ = arguments.next() }
        while let option = arguments.next() {
            guard option.isWord("DB") else { continue }
            guard let number = arguments.next() else { return nil }
            return parseInteger(number).flatMap { UInt32(exactly: $0) }
        }
        return nil
    }

    private enum KeyLayout {
        case none, first, second, firstTwo
        /// Every n-th argument, beginning with the first.
        case every(Int)
        case move, copy
        /// The first argument, and those after STORE and STOREDIST.
        case firstAndStored
    }

    private static let layouts: [CommandName: KeyLayout] = [
        "PING": .none, "SCRIPT": .none, "FLUSHALL": .none, "FLUSHDB": .none, "DFLYCLUSTER": .none, "STICK": .none,
        "SHRINK": .none,
        "BITOP": .second, "XGROUP": .second,
        "RENAME": .firstTwo, "RENAMENX": .firstTwo, "COPY": .copy, "SMOVE": .firstTwo, "LMOVE": .firstTwo,
        "RPOPLPUSH": .firstTwo,
        "DEL": .every(1), "UNLINK": .every(1), "PFMERGE": .every(1), "MSET": .every(2), "MSETNX": .every(2),
        "JSON.MSET": .every(3),
        "MOVE": .move, "SORT": .firstAndStored, "GEORADIUS": .firstAndStored, "GEORADIUSBYMEMBER": .firstAndStored,
    ]
}
