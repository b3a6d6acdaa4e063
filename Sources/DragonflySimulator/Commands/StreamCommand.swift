import Base

/// Streams. Consumer groups are supported only as far as reads with NOACK need them.
struct StreamCommand: LiveCommand {
    let context: CommandContext

    func execute() -> Reply? {
        switch name {
        case "XADD": return add()
        case "XDEL": return delete()
        case "XTRIM": return trim()
        case "XLEN": return read(.stream) { .integer(Int64($0.entries.count)) }
        case "XRANGE":
            return read(.stream) { stream in
                let first = bound(1, missing: 0) ?? StreamValue.ID(0, 0)
                let last = bound(2, missing: .max) ?? StreamValue.ID(.max, .max)
                return .array(
                    stream.entries.filter { $0.id >= first && $0.id <= last }.map { entry in
                        .array([.text(entry.id.description), .array(entry.fields.map { .bulk($0) })])
                    })
            }
        case "XINFO": return information()
        case "XGROUP": return createGroup()
        case "XREADGROUP": return readGroup()
        default: return nil
        }
    }

    /// `XINFO STREAM key`, `XINFO GROUPS key` and `XINFO CONSUMERS key group`.
    private func information() -> Reply {
        guard arguments.count >= 2, case .stream(let stream)? = entry(arguments[1])?.value else {
            return .error("ERR no such key")
        }
        // Consumers are not simulated.
        if request.keyword(0) == "CONSUMERS" { return .array([]) }
        guard request.keyword(0) == "STREAM" else {
            return .array(
                stream.groups.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { name, last in
                    .array([
                        .text("name"), .bulk(name), .text("consumers"), .integer(0), .text("pending"), .integer(0),
                        .text("last-delivered-id"), .text(last.description),
                    ])
                })
        }
        return .array([
            .text("length"), .integer(Int64(stream.entries.count)), .text("last-generated-id"),
            .text(stream.lastID.description),
        ])
    }

    /// `XGROUP CREATE key group id`
    private func createGroup() -> Reply {
        guard request.keyword(0) == "CREATE", arguments.count == 4 else { return ErrorText.syntax }
        let key = arguments[1]
        guard case .stream(let before)? = entry(key)?.value else { return .error("ERR no such key") }
        guard before.groups[arguments[2]] == nil else {
            return .error("BUSYGROUP Consumer Group name already exists")
        }
        let id = request.text(3) == "$" ? before.lastID : StreamValue.ID(request.text(3) ?? "") ?? StreamValue.ID(0, 0)
        _ = change(key, as: .stream) { $0.groups[arguments[2]] = id }
        journalVerbatim(key: key)
        return .ok
    }

    /// `XREADGROUP GROUP group consumer NOACK STREAMS key >`: delivers all new entries and journals nothing, as masters
    /// before v1.37 do.
    private func readGroup() -> Reply {
        guard arguments.count == 7, request.keyword(3) == "NOACK", request.text(6) == ">" else {
            return ErrorText.syntax
        }
        let (group, key) = (arguments[1], arguments[5])
        let entries = change(key, as: .stream) { stream -> [StreamValue.Entry]? in
            guard let last = stream.groups[group] else { return nil }
            stream.groups[group] = stream.lastID
            return stream.entries.filter { $0.id > last }
        }
        guard let entries = entries ?? nil else { return .error("NOGROUP No such key or consumer group") }
        if entries.isEmpty { return .null }
        let delivered = entries.map { entry in
            Reply.array([.text(entry.id.description), .array(entry.fields.map { .bulk($0) })])
        }
        return .array([.array([.bulk(key), .array(delivered)])])
    }

    /// Parses a bound of a range; `nil` for the open ends `-` and `+`.
    private func bound(_ index: Int, missing: UInt64) -> StreamValue.ID? {
        request.text(index).flatMap { StreamValue.ID($0, missingSequence: missing) }
    }

    /// Executes XADD and journals it with the entry's actual id. A trim is journaled as `MINID <first remaining id>`.
    private func add() -> Reply {
        guard let key = arguments.first else { return ErrorText.arity(name) }
        var index = 1
        var limit: Int?
        var isMaking = true
        if request.keyword(index) == "NOMKSTREAM" {
            isMaking = false
            index += 1
        }
        if request.keyword(index) == "MAXLEN" {
            index += 1
            if ["~", "="].contains(request.keyword(index)) { index += 1 }
            guard let length = request.integer(index), length > 0 else { return Self.noInteger }
            limit = Int(length)
            index += 1
        }
        guard index < arguments.count, arguments.count - index >= 3, (arguments.count - index) % 2 == 1 else {
            return ErrorText.arity(name)
        }
        if !isMaking, entry(key) == nil { return .null }
        let fields = Array(arguments[(index + 1)...])
        let wanted = request.text(index) ?? ""
        let made: StreamValue.ID?? = change(key, as: .stream) { stream in
            guard let id = Self.id(wanted, after: stream.lastID) else { return nil }
            stream.append(id, fields)
            if let limit, stream.entries.count > limit { stream.entries.removeFirst(stream.entries.count - limit) }
            return id
        }
        guard let made else { return ErrorText.wrongType }
        guard let id = made else {
            forgetEmptyStream(key)
            return .error("ERR The ID specified in XADD is equal or smaller than the target stream top item")
        }
        var words = [Array("XADD".utf8), key]
        if !isMaking { words.append(Array("NOMKSTREAM".utf8)) }
        if limit != nil, case .stream(let stream)? = entry(key)?.value, let first = stream.entries.first {
            words += [Array("MINID".utf8), Array(first.id.description.utf8)]
        }
        journal(words + [Array(id.description.utf8)] + fields, key: key)
        return .text(id.description)
    }

    /// Removes the empty stream that a failed XADD created.
    private func forgetEmptyStream(_ key: [UInt8]) {
        if case .stream(let stream)? = store[database, key]?.value, stream.entriesAdded == 0 {
            store[database, key] = nil
        }
    }

    /// Resolves `*`, `ms-*` or an explicit id; `nil` if the id is not greater than `last`.
    private static func id(_ text: String, after last: StreamValue.ID) -> StreamValue.ID? {
        if text == "*" {
            let now = UInt64(WallClock.milliseconds())
            return now > last.milliseconds
                ? StreamValue.ID(now, 0) : StreamValue.ID(last.milliseconds, last.sequence + 1)
        }
        if text.hasSuffix("-*"), let milliseconds = UInt64(text.dropLast(2)) {
            if milliseconds < last.milliseconds { return nil }
            return StreamValue.ID(milliseconds, milliseconds == last.milliseconds ? last.sequence + 1 : 0)
        }
        guard let id = StreamValue.ID(text), id > last else { return nil }
        return id
    }

    private func delete() -> Reply {
        guard let key = arguments.first, arguments.count >= 2 else { return ErrorText.arity(name) }
        if entry(key) == nil { return .integer(0) }
        let ids = Set(arguments.dropFirst().compactMap { StreamValue.ID(String(decoding: $0, as: UTF8.self)) })
        let deleted = change(key, as: .stream) { stream in
            let gone = stream.entries.filter { ids.contains($0.id) }
            stream.entries.removeAll { ids.contains($0.id) }
            if let last = gone.map(\.id).max() { stream.maximumDeletedID = max(stream.maximumDeletedID, last) }
            return gone.count
        }
        guard let deleted else { return ErrorText.wrongType }
        journalVerbatim(key: key)
        return .integer(Int64(deleted))
    }

    /// Executes XTRIM; journals `XTRIM k MINID <first remaining id>`, or `MAXLEN 0` if nothing remains.
    private func trim() -> Reply {
        guard arguments.count >= 3, request.keyword(1) == "MAXLEN", let limit = request.integer(arguments.count - 1),
            limit >= 0
        else { return ErrorText.syntax }
        let key = arguments[0]
        if entry(key) == nil { return .integer(0) }
        let result = change(key, as: .stream) { stream in
            let removed = max(0, stream.entries.count - Int(limit))
            stream.entries.removeFirst(removed)
            return (removed: removed, first: stream.entries.first?.id)
        }
        guard let result else { return ErrorText.wrongType }
        let words = result.first.map { ["MINID", $0.description] } ?? ["MAXLEN", "0"]
        journal([Array("XTRIM".utf8), key] + words.map { Array($0.utf8) }, key: key)
        return .integer(Int64(result.removed))
    }
}
