/// Sets.
struct SetCommand: LiveCommand {
    let context: CommandContext

    func execute() -> Reply? {
        switch name {
        case "SADD", "SREM": return addOrRemove()
        case "SPOP": return pop()
        case "SMOVE": return moveMember()
        case "SCARD": return read(.set) { .integer(Int64($0.count)) }
        case "SISMEMBER": return read(.set) { .integer(arguments.count > 1 && $0.contains(arguments[1]) ? 1 : 0) }
        // Returns all members in one page.
        case "SSCAN": return read(.set) { .array([.text("0"), .array($0.map { .bulk($0) })]) }
        case "SMEMBERS": return read(.set) { .array($0.map { .bulk($0) }) }
        default: return nil
        }
    }

    private func addOrRemove() -> Reply {
        guard let key = arguments.first, arguments.count >= 2 else { return ErrorText.arity(name) }
        if name == "SREM", entry(key) == nil { return .integer(0) }
        let changed = change(key, as: .set) { members in
            arguments.dropFirst().count { name == "SADD" ? members.insert($0).inserted : members.remove($0) != nil }
        }
        guard let changed else { return ErrorText.wrongType }
        journalVerbatim(key: key)
        return .integer(Int64(changed))
    }

    /// Executes SPOP; journals `SREM k members...`, or `DEL k` if the set becomes empty.
    private func pop() -> Reply {
        withKey { key in
            if entry(key) == nil { return arguments.count > 1 ? .array([]) : .null }
            let count = request.integer(1).map { Int($0) }
            let taken = change(key, as: .set) { members in
                // Sorted, so that the same seed gives the same run.
                let taken = members.sorted { $0.lexicographicallyPrecedes($1) }.prefix(count ?? 1)
                for member in taken { members.remove(member) }
                return Array(taken)
            }
            guard let taken else { return ErrorText.wrongType }
            if entry(key) == nil {
                journal("DEL", key, key: key)
            } else {
                journal([Array("SREM".utf8), key] + taken, key: key)
            }
            return count == nil ? .bulk(taken[0]) : .array(taken.map { .bulk($0) })
        }
    }

    /// Executes SMOVE; journals `SREM src m` and `SADD dst m`.
    private func moveMember() -> Reply {
        guard arguments.count == 3 else { return ErrorText.arity(name) }
        let (source, destination, member) = (arguments[0], arguments[1], arguments[2])
        if let value = entry(destination)?.value, case .set = value {
        } else if entry(destination) != nil {
            return ErrorText.wrongType
        }
        guard entry(source) != nil else { return .integer(0) }
        guard let wasMember = change(source, as: .set, { $0.remove(member) != nil }) else { return ErrorText.wrongType }
        guard wasMember else { return .integer(0) }
        _ = change(destination, as: .set) { $0.insert(member).inserted }
        let transaction = core.sharedTransaction ?? core.nextTransactionID()
        journal([Array("SREM".utf8), source, member], key: source, transaction: transaction, shardCount: 2)
        journal([Array("SADD".utf8), destination, member], key: destination, transaction: transaction, shardCount: 2)
        return .integer(1)
    }
}
