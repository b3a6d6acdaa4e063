import Wire

extension JournalCommand {
    /// Calls `body` with each key that the command writes or moves away from. Unknown commands: the first argument.
    package func forEachWrittenKey(_ body: (RawSpan) -> Void) {
        var arguments = arguments
        guard let first = arguments.next(), let name = CommandName(first) else { return }
        let layout = Self.layouts[name] ?? (name.hasPrefix("FT.") ? .none : .first)
        switch layout {
        case .none: return
        case .first:
            if let key = arguments.next() { body(key) }
        case .second:
            _ = arguments.next()
            if let key = arguments.next() { body(key) }
        case .firstTwo:
            if let key = arguments.next() { body(key) }
            if let key = arguments.next() { body(key) }
        case .all:
            while let key = arguments.next() { body(key) }
        case .everyOther:
            while let key = arguments.next() {
                body(key)
                _ = arguments.next()
            }
        }
    }

    private enum KeyLayout { case none, first, second, firstTwo, all, everyOther }

    private static let layouts: [CommandName: KeyLayout] = [
        "PING": .none, "SCRIPT": .none, "FLUSHALL": .none, "FLUSHDB": .none, "DFLYCLUSTER": .none,
        "BITOP": .second, "XGROUP": .second,
        "RENAME": .firstTwo, "RENAMENX": .firstTwo, "COPY": .firstTwo, "SMOVE": .firstTwo, "LMOVE": .firstTwo,
        "RPOPLPUSH": .firstTwo,
        "DEL": .all, "UNLINK": .all, "PFMERGE": .all, "MSET": .everyOther, "MSETNX": .everyOther,
        "JSON.MSET": .first,
    ]
}
