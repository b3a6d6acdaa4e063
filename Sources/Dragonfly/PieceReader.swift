package import Wire

/// Reads one value at a master piece by piece with ordinary commands, so that no command blocks the key's shard for long.
///
/// The reader does not know whether the value changes meanwhile; the caller knows from the positions before and after
/// (Protocol 2.11). In v1.36.0 a `DUMP` of a hash with 300,000 fields blocks a shard for seconds, and an `HSCAN` of 1,000
/// of them for about 10 ms.
package struct PieceReader: Sendable {
    package enum Step: Sendable, Equatable {
        case piece(ValuePiece)
        case end
        /// The key no longer holds what it held when the reading began.
        case changed
    }

    /// The kinds of values that can be read in pieces.
    package enum Kind: String, Sendable, CaseIterable { case string, list, set, hash, zset, stream }

    /// The rights that the user needs in addition to `ValueReader.rights`.
    package static let rights =
        "+TYPE +STRLEN +GETRANGE +LRANGE +HSCAN +SSCAN +FIELDTTL +ZRANGE +XRANGE +XINFO +XPENDING"
    /// The intended size of a piece in bytes. A larger element makes a larger piece.
    package static let pieceBytes = 128 << 10
    /// The source copies the whole string for each part, so longer strings are read in larger parts.
    private static let stringParts = 32
    private static let stringBytes = (least: 1 << 20, most: 8 << 20)
    private static let elements = (first: 64, most: 2048)
    /// How often the deadlines of a piece are requested at most. They are requested again if a new second began meanwhile.
    private static let attempts = 4

    private enum Place {
        case start
        /// The offset in a string, in a list, or in a sorted set in the order of the scores.
        case offset(Int64, of: Int64)
        case cursor([UInt8])
        case entries(after: [UInt8]?)
        case groups
        case pending(after: [UInt8]?)
        case end
    }

    private let kind: Kind
    private let database: UInt32
    private let key: [UInt8]
    private let reader: ValueReader
    private var place = Place.start
    /// The number of elements of the next piece.
    private var count = Self.elements.first
    private var groups: [[UInt8]] = []
    private var ready: [ValuePiece] = []

    package init(_ kind: Kind, database: UInt32, key: [UInt8], reader: ValueReader) {
        (self.kind, self.database, self.key, self.reader) = (kind, database, key, reader)
    }

    /// Reads the next piece.
    ///
    /// - Throws: `SourceError`.
    package mutating func next() async throws(SourceError) -> Step {
        if !ready.isEmpty { return .piece(ready.removeFirst()) }
        switch (kind, place) {
        case (_, .end): return .end
        case (.string, .offset(let offset, let length)): return try await bytes(from: offset, of: length)
        case (.string, _):
            guard let length = try await ask("STRLEN", key)?.int else { return .changed }
            place = .offset(0, of: length)
            return try await next()
        case (.list, _), (.zset, _): return try await range()
        case (.set, _), (.hash, _): return try await page()
        case (.stream, .groups): return try await group()
        case (.stream, .pending(let id)): return try await pending(after: id)
        case (.stream, .entries(let id)): return try await entries(after: id)
        case (.stream, _): return try await entries(after: nil)
        }
    }

    // MARK: Asking

    private func words(_ words: [any RequestWord]) -> [[UInt8]] { words.map(\.bytes) }

    /// - Returns: `nil` if the key no longer holds what it held.
    private func ask(_ words: any RequestWord...) async throws(SourceError) -> RESPValue? {
        try await ask([self.words(words)])?.first
    }

    private func ask(_ commands: [[[UInt8]]]) async throws(SourceError) -> [RESPValue]? {
        let replies = try await reader.answers(to: commands, in: database)
        for (reply, command) in zip(replies, commands) {
            guard case .error(let text) = reply else { continue }
            if text.hasPrefix("WRONGTYPE") || text.contains("no such key") || text.hasPrefix("NOGROUP") { return nil }
            throw SourceError.reply(text, toQuestion: String(decoding: command[0], as: UTF8.self))
        }
        return replies
    }

    private func violation(_ command: String) -> SourceError {
        SourceError(.protocolViolation, "the source's answer to \(command) cannot be read")
    }

    /// Adapts the number of elements, so that the next piece has about the intended size.
    private mutating func adapt(to pieces: [[UInt8]]) {
        let bytes = max(pieces.reduce(0) { $0 + $1.count + 16 }, 1)
        let fitting = count * Self.pieceBytes / bytes
        count = min(max(fitting, 1), count * 4, Self.elements.most)
    }

    // MARK: In order

    private mutating func bytes(from offset: Int64, of length: Int64) async throws(SourceError) -> Step {
        guard offset < length else {
            place = .end
            return .end
        }
        let part = Int64(min(max(Int(length) / Self.stringParts, Self.stringBytes.least), Self.stringBytes.most))
        guard let bytes = try await ask("GETRANGE", key, offset, offset + part - 1)?.bytes,
            bytes.count == min(part, length - offset)
        else { return .changed }
        place = .offset(offset + part, of: length)
        return .piece(.string(bytes))
    }

    private mutating func range() async throws(SourceError) -> Step {
        var offset: Int64 = 0
        if case .offset(let next, _) = place { offset = next }
        let last = offset + Int64(count) - 1
        let reply =
            kind == .list
            ? try await ask("LRANGE", key, offset, last) : try await ask("ZRANGE", key, offset, last, "WITHSCORES")
        guard let reply else { return .changed }
        guard let elements = reply.array?.compactMap(\.bytes) else { throw violation("LRANGE, ZRANGE") }
        guard !elements.isEmpty else {
            place = .end
            // If there are no elements at all, the key is gone.
            return offset == 0 ? .changed : .end
        }
        place = .offset(last + 1, of: 0)
        adapt(to: elements)
        guard kind == .zset else { return .piece(.list(elements)) }
        return .piece(
            .zset(
                stride(from: 0, to: elements.count - 1, by: 2).map {
                    .init(elements[$0], score: elements[$0 + 1])
                }))
    }

    // MARK: In no order

    private mutating func page() async throws(SourceError) -> Step {
        var cursor = "0".bytes
        if case .cursor(let next) = place { cursor = next }
        let command = kind == .hash ? "HSCAN" : "SSCAN"
        guard let reply = try await ask(command, key, cursor, "COUNT", count) else { return .changed }
        guard let parts = reply.array, parts.count == 2, let next = parts[0].bytes,
            let texts = parts[1].array?.compactMap(\.bytes)
        else { throw violation(command) }
        place = next == "0".bytes ? .end : .cursor(next)
        if texts.isEmpty {
            if case .end = place { return .end }
            return try await self.next()
        }
        adapt(to: texts)
        let elements =
            kind == .set
            ? texts.map { ValuePiece.Element($0) }
            : stride(from: 0, to: texts.count - 1, by: 2).map { ValuePiece.Element(texts[$0], texts[$0 + 1]) }
        guard let timed = try await withDeadlines(elements) else { return .changed }
        return .piece(kind == .set ? .set(timed) : .hash(timed))
    }

    /// Adds the deadlines of the elements. The source stores whole seconds, and reports the seconds that are left.
    ///
    /// - Returns: the elements without those that have expired meanwhile; `nil` if the key no longer holds what it held.
    private func withDeadlines(_ elements: [ValuePiece.Element]) async throws(SourceError) -> [ValuePiece.Element]? {
        let questions =
            [words(["TIME"])] + elements.map { words(["FIELDTTL", key, $0.name]) } + [words(["TIME"])]
        for attempt in 1...Self.attempts {
            guard let replies = try await ask(questions) else { return nil }
            guard let start = replies[0].array?.first?.int, let end = replies[replies.count - 1].array?.first?.int
            else { throw violation("TIME") }
            let times = replies.dropFirst().dropLast().map(\.int)
            if start != end, attempt < Self.attempts, times.contains(where: { $0 ?? -1 >= 0 }) { continue }
            return zip(elements, times).compactMap { element, time in
                guard let time, time > -2 else { return nil }
                var element = element
                if time >= 0 { element.deadline = (start + time) * 1000 }
                return element
            }
        }
        return nil
    }

    // MARK: Streams

    private mutating func entries(after id: [UInt8]?) async throws(SourceError) -> Step {
        let start = id.map { "(".bytes + $0 } ?? "-".bytes
        guard let reply = try await ask("XRANGE", key, start, "+", "COUNT", count) else { return .changed }
        let entries = (reply.array ?? []).compactMap { entry -> ValuePiece.Entry? in
            guard let parts = entry.array, parts.count == 2, let id = parts[0].bytes, let fields = parts[1].array
            else { return nil }
            return .init(id, fields.compactMap(\.bytes))
        }
        guard entries.count == reply.array?.count else { throw violation("XRANGE") }
        guard let last = entries.last else { return try await position() }
        place = .entries(after: last.id)
        adapt(to: entries.flatMap(\.fields))
        return .piece(.entries(entries))
    }

    private mutating func position() async throws(SourceError) -> Step {
        guard let replies = try await ask([words(["XINFO", "STREAM", key]), words(["XINFO", "GROUPS", key])])
        else { return .changed }
        guard let lastID = replies[0]["last-generated-id"]?.bytes,
            let added = replies[0]["entries-added"]?.int,
            let deletedID = replies[0]["max-deleted-entry-id"]?.bytes
        else { throw violation("XINFO STREAM") }
        for group in replies[1].array ?? [] {
            guard let name = group["name"]?.bytes,
                let id = group["last-delivered-id"]?.bytes
            else { throw violation("XINFO GROUPS") }
            groups.append(name)
            ready.append(.group(name: name, lastID: id, entriesRead: group["entries-read"]?.int))
        }
        place = .groups
        return .piece(.position(.init(lastID: lastID, entriesAdded: added, maxDeletedID: deletedID)))
    }

    private mutating func group() async throws(SourceError) -> Step {
        guard let group = groups.first else {
            place = .end
            return .end
        }
        guard let reply = try await ask("XINFO", "CONSUMERS", key, group) else { return .changed }
        ready = (reply.array ?? []).compactMap { consumer in
            consumer["name"]?.bytes.map { .consumer(group: group, name: $0) }
        }
        place = .pending(after: nil)
        return try await next()
    }

    private mutating func pending(after id: [UInt8]?) async throws(SourceError) -> Step {
        let start = id.map { "(".bytes + $0 } ?? "-".bytes
        let question = words(["XPENDING", key, groups[0], start, "+", Self.elements.most])
        guard let replies = try await ask([words(["TIME"]), question]) else { return .changed }
        guard let time = replies[0].array, time.count == 2, let seconds = time[0].int, let rest = time[1].int
        else { throw violation("TIME") }
        let now = seconds * 1000 + rest / 1000
        let entries = (replies[1].array ?? []).compactMap { entry -> ValuePiece.Pending? in
            guard let parts = entry.array, parts.count == 4, let id = parts[0].bytes, let consumer = parts[1].bytes,
                let idle = parts[2].int, let deliveries = parts[3].int
            else { return nil }
            return .init(id: id, consumer: consumer, deliveredAt: now - idle, deliveries: deliveries)
        }
        guard entries.count == replies[1].array?.count else { throw violation("XPENDING") }
        guard let last = entries.last else {
            groups.removeFirst()
            place = .groups
            return try await next()
        }
        place = .pending(after: last.id)
        return .piece(.pending(group: groups[0], entries))
    }
}
