/// Sorted sets.
struct ZsetCommand: LiveCommand {
    let context: CommandContext

    func execute() -> Reply? {
        switch name {
        case "ZADD": return add()
        case "ZINCRBY": return arguments.count == 3 ? increase() : ErrorText.arity(name)
        case "ZREM": return remove()
        case "ZPOPMIN", "ZPOPMAX": return pop()
        case "ZCARD": return read(.zset) { .integer(Int64($0.count)) }
        case "ZSCORE":
            return read(.zset) { members in
                arguments.count > 1 ? members[arguments[1]].map { .bulk(ScoreText.bytes($0)) } ?? .null : .null
            }
        case "ZSCAN":
            return read(.zset) {
                .array([.text("0"), .array($0.flatMap { [.bulk($0.key), .bulk(ScoreText.bytes($0.value))] })])
            }
        case "ZRANGE":
            return read(.zset) { members in
                guard let first = request.integer(1), let last = request.integer(2) else { return Self.noInteger }
                let hasScores = request.keyword(3) == "WITHSCORES"
                let sorted = members.sortedByScore
                return .array(
                    sorted[Self.range(first, last, count: sorted.count)].flatMap { element -> [Reply] in
                        hasScores
                            ? [.bulk(element.member), .bulk(ScoreText.bytes(element.score))] : [.bulk(element.member)]
                    })
            }
        default: return nil
        }
    }

    private static func score(_ text: String?) -> Double? {
        guard let score = text.flatMap({ Double($0) }), !score.isNaN else { return nil }
        return score
    }

    /// Executes ZADD and journals it verbatim with all options, even if nothing changed.
    private func add() -> Reply {
        guard let key = arguments.first else { return ErrorText.arity(name) }
        var options: Set<String> = []
        var index = 1
        while let option = request.keyword(index), ["NX", "XX", "GT", "LT", "CH", "INCR"].contains(option) {
            options.insert(option)
            index += 1
        }
        guard index < arguments.count, (arguments.count - index) % 2 == 0 else { return ErrorText.syntax }
        var pairs: [(member: [UInt8], score: Double)] = []
        for place in stride(from: index, to: arguments.count, by: 2) {
            guard let score = Self.score(request.text(place)) else { return Self.noFloat }
            pairs.append((arguments[place + 1], score))
        }
        let result = change(key, as: .zset) { members in Self.add(pairs, to: &members, options) }
        guard let result else { return ErrorText.wrongType }
        journalVerbatim(key: key)
        if options.contains("INCR") { return result.last.map { .bulk(ScoreText.bytes($0)) } ?? .null }
        return .integer(Int64(options.contains("CH") ? result.changed : result.added))
    }

    private static func add(
        _ pairs: [(member: [UInt8], score: Double)], to members: inout [[UInt8]: Double], _ options: Set<String>
    ) -> (added: Int, changed: Int, last: Double?) {
        var (added, changed) = (0, 0)
        var last: Double?
        for (member, score) in pairs {
            let old = members[member]
            let new = options.contains("INCR") ? (old ?? 0) + score : score
            if options.contains("NX"), old != nil { continue }
            if options.contains("XX"), old == nil { continue }
            if let old, options.contains("GT") && new <= old || options.contains("LT") && new >= old { continue }
            members[member] = new
            last = new
            if old == nil { added += 1 }
            if old != new { changed += 1 }
        }
        return (added, changed, last)
    }

    private func increase() -> Reply {
        guard let step = Self.score(request.text(1)) else { return Self.noFloat }
        let sum = change(arguments[0], as: .zset) { members in
            let sum = (members[arguments[2]] ?? 0) + step
            members[arguments[2]] = sum
            return sum
        }
        guard let sum else { return ErrorText.wrongType }
        journalVerbatim(key: arguments[0])
        return .bulk(ScoreText.bytes(sum))
    }

    private func remove() -> Reply {
        guard let key = arguments.first, arguments.count >= 2 else { return ErrorText.arity(name) }
        if entry(key) == nil { return .integer(0) }
        let removed = change(key, as: .zset) { members in
            arguments.dropFirst().count { members.removeValue(forKey: $0) != nil }
        }
        guard let removed else { return ErrorText.wrongType }
        journalVerbatim(key: key)
        return .integer(Int64(removed))
    }

    private func pop() -> Reply {
        withKey { key in
            if entry(key) == nil { return .array([]) }
            let count = request.integer(1).map { Int($0) } ?? 1
            let taken = change(key, as: .zset) { members in
                let sorted = members.sortedByScore
                let taken = name == "ZPOPMIN" ? Array(sorted.prefix(count)) : sorted.suffix(count).reversed()
                for element in taken { members[element.member] = nil }
                return taken
            }
            guard let taken else { return ErrorText.wrongType }
            journalVerbatim(key: key)
            return .array(taken.flatMap { [.bulk($0.member), .bulk(ScoreText.bytes($0.score))] })
        }
    }
}
