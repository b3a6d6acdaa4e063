/// Lists.
struct ListCommand: LiveCommand {
    let context: CommandContext

    func execute() -> Reply? {
        switch name {
        case "LPUSH", "RPUSH", "LPUSHX", "RPUSHX": return push()
        case "LPOP", "RPOP": return pop()
        case "LLEN": return read(.list) { .integer(Int64($0.count)) }
        case "LRANGE":
            return read(.list) { elements in
                guard let first = request.integer(1), let last = request.integer(2) else { return Self.noInteger }
                return .array(elements[Self.range(first, last, count: elements.count)].map { .bulk($0) })
            }
        case "LINDEX":
            return read(.list) { elements in
                guard let index = request.integer(1) else { return Self.noInteger }
                let place = Int(index < 0 ? index + Int64(elements.count) : index)
                return elements.indices.contains(place) ? .bulk(elements[place]) : .null
            }
        case "LSET": return setElement()
        case "LTRIM": return trim()
        case "LREM": return remove()
        case "RPOPLPUSH": return move(from: "RPOP", to: "LPUSH")
        case "LMOVE":
            guard arguments.count == 4 else { return ErrorText.arity(name) }
            return move(
                from: request.keyword(2) == "LEFT" ? "LPOP" : "RPOP",
                to: request.keyword(3) == "LEFT" ? "LPUSH" : "RPUSH")
        default: return nil
        }
    }

    private func push() -> Reply {
        guard let key = arguments.first, arguments.count >= 2 else { return ErrorText.arity(name) }
        if name.hasSuffix("X"), entry(key) == nil {
            // Journaled even if the list does not exist.
            journalVerbatim(key: key)
            return .integer(0)
        }
        let count = change(key, as: .list) { elements in
            if name.hasPrefix("L") {
                elements.insert(contentsOf: arguments.dropFirst().reversed(), at: 0)
            } else {
                elements += arguments.dropFirst()
            }
            return elements.count
        }
        guard let count else { return ErrorText.wrongType }
        journalVerbatim(key: key)
        return .integer(Int64(count))
    }

    private func pop() -> Reply {
        withKey { key in
            if entry(key) == nil { return .null }
            let count = request.integer(1).map { Int($0) }
            if arguments.count > 1, count == nil { return Self.noInteger }
            guard let taken = takeElements(key, fromLeft: name == "LPOP", count: count ?? 1) else {
                return ErrorText.wrongType
            }
            journalVerbatim(key: key)
            return count == nil ? .bulk(taken[0]) : .array(taken.map { .bulk($0) })
        }
    }

    private func takeElements(_ key: [UInt8], fromLeft: Bool, count: Int) -> [[UInt8]]? {
        change(key, as: .list) { elements in
            let count = min(count, elements.count)
            let taken = fromLeft ? Array(elements.prefix(count)) : elements.suffix(count).reversed()
            if fromLeft { elements.removeFirst(count) } else { elements.removeLast(count) }
            return taken
        }
    }

    private func setElement() -> Reply {
        guard arguments.count == 3, let index = request.integer(1) else { return Self.noInteger }
        guard entry(arguments[0]) != nil else { return .error("ERR no such key") }
        let isSet = change(arguments[0], as: .list) { elements in
            let place = Int(index < 0 ? index + Int64(elements.count) : index)
            guard elements.indices.contains(place) else { return false }
            elements[place] = arguments[2]
            return true
        }
        guard let isSet else { return ErrorText.wrongType }
        guard isSet else { return .error("ERR index out of range") }
        journalVerbatim(key: arguments[0])
        return .ok
    }

    private func trim() -> Reply {
        guard arguments.count == 3, let first = request.integer(1), let last = request.integer(2) else {
            return Self.noInteger
        }
        guard entry(arguments[0]) != nil else { return .ok }
        let isList: Void? = change(arguments[0], as: .list) { elements in
            elements = Array(elements[Self.range(first, last, count: elements.count)])
        }
        guard isList != nil else { return ErrorText.wrongType }
        journalVerbatim(key: arguments[0])
        return .ok
    }

    private func remove() -> Reply {
        guard arguments.count == 3, let wanted = request.integer(1) else { return Self.noInteger }
        guard entry(arguments[0]) != nil else { return .integer(0) }
        let removed = change(arguments[0], as: .list) { elements in
            let places = elements.indices.filter { elements[$0] == arguments[2] }
            let limit = wanted == 0 ? places.count : Int(wanted.magnitude)
            let chosen = Set(wanted < 0 ? places.suffix(limit) : places.prefix(limit))
            elements = elements.indices.filter { !chosen.contains($0) }.map { elements[$0] }
            return chosen.count
        }
        guard let removed else { return ErrorText.wrongType }
        journalVerbatim(key: arguments[0])
        return .integer(Int64(removed))
    }

    /// Executes RPOPLPUSH and LMOVE; journals a pop and a push.
    private func move(from pop: String, to push: String) -> Reply {
        guard arguments.count >= 2 else { return ErrorText.arity(name) }
        let (source, destination) = (arguments[0], arguments[1])
        guard entry(source) != nil else { return .null }
        if let value = entry(destination)?.value, case .list = value {
        } else if entry(destination) != nil {
            return ErrorText.wrongType
        }
        guard let element = takeElements(source, fromLeft: pop == "LPOP", count: 1)?.first else {
            return ErrorText.wrongType
        }
        _ = change(destination, as: .list) { elements in
            if push == "LPUSH" { elements.insert(element, at: 0) } else { elements.append(element) }
        }
        let transaction = core.sharedTransaction ?? core.nextTransactionID()
        journal([Array(pop.utf8), source], key: source, transaction: transaction, shardCount: 2)
        journal([Array(push.utf8), destination, element], key: destination, transaction: transaction, shardCount: 2)
        return .bulk(element)
    }
}
