/// Sets and hashes.
extension LiveCommand {
    func executeSet() -> Reply? {
        switch name {
        case "SADD", "SREM": return addOrRemove()
        case "SPOP": return pop()
        case "SMOVE": return moveMember()
        case "SCARD": return withSet { .integer(Int64($0.count)) }
        case "SISMEMBER": return withSet { .integer(arguments.count > 1 && $0.contains(arguments[1]) ? 1 : 0) }
        // In one page.
        case "SSCAN": return withSet { .array([.text("0"), .array($0.map { .bulk($0) })]) }
        case "SMEMBERS": return withSet { .array($0.map { .bulk($0) }) }
        default: return nil
        }
    }

    private func withSet(_ body: (Set<[UInt8]>) -> Reply) -> Reply {
        withKey { key in
            switch entry(key)?.value {
            case nil: body([])
            case .set(let members)?: body(members)
            case .expiringSet(let members)?: body(Set(members.keys))
            default: ErrorText.wrongType
            }
        }
    }

    private func changeSet<Result>(_ key: [UInt8], _ body: (inout Set<[UInt8]>) -> Result) -> Result? {
        change(key) { value in
            guard case .set(var members) = value ?? .set([]) else { return nil }
            value = .set([])
            defer { value = .set(members) }
            return body(&members)
        }
    }

    private func addOrRemove() -> Reply {
        guard let key = arguments.first, arguments.count >= 2 else { return ErrorText.arity(name) }
        if name == "SREM", entry(key) == nil { return .integer(0) }
        let changed = changeSet(key) { members in
            arguments.dropFirst().count { name == "SADD" ? members.insert($0).inserted : members.remove($0) != nil }
        }
        guard let changed else { return ErrorText.wrongType }
        journalVerbatim(key: key)
        return .integer(Int64(changed))
    }

    /// `SREM k members...`, or `DEL k` when it became empty.
    private func pop() -> Reply {
        withKey { key in
            if entry(key) == nil { return arguments.count > 1 ? .array([]) : .null }
            let count = request.integer(1).map { Int($0) }
            let taken = changeSet(key) { members in
                // In order, so that a seed gives the same run.
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

    /// `SREM src m` and `SADD dst m`.
    private func moveMember() -> Reply {
        guard arguments.count == 3 else { return ErrorText.arity(name) }
        let (source, destination, member) = (arguments[0], arguments[1], arguments[2])
        if let value = entry(destination)?.value, case .set = value {
        } else if entry(destination) != nil {
            return ErrorText.wrongType
        }
        guard entry(source) != nil else { return .integer(0) }
        guard let wasMember = changeSet(source, { $0.remove(member) != nil }) else { return ErrorText.wrongType }
        guard wasMember else { return .integer(0) }
        _ = changeSet(destination) { $0.insert(member).inserted }
        let transaction = core.sharedTransaction ?? core.nextTransactionID()
        journal([Array("SREM".utf8), source, member], key: source, transaction: transaction, shardCount: 2)
        journal([Array("SADD".utf8), destination, member], key: destination, transaction: transaction, shardCount: 2)
        return .integer(1)
    }

    // MARK: Hashes

    func executeHash() -> Reply? {
        switch name {
        case "HSET", "HMSET": return setFields()
        case "HSETNX": return setNewField()
        case "HDEL": return deleteFields()
        case "HINCRBY", "HINCRBYFLOAT": return countField()
        case "HGET":
            return withHash { fields in arguments.count > 1 ? fields[arguments[1]].map { .bulk($0) } ?? .null : .null }
        case "HLEN": return withHash { .integer(Int64($0.count)) }
        case "HSCAN":
            return withHash { .array([.text("0"), .array($0.flatMap { [.bulk($0.key), .bulk($0.value)] })]) }
        case "HGETALL": return withHash { .array($0.flatMap { [.bulk($0.key), .bulk($0.value)] }) }
        default: return nil
        }
    }

    private func withHash(_ body: ([[UInt8]: [UInt8]]) -> Reply) -> Reply {
        withKey { key in
            switch entry(key)?.value {
            case nil: body([:])
            case .hash(let fields)?: body(fields)
            case .expiringHash(let fields)?: body(fields.mapValues(\.value))
            default: ErrorText.wrongType
            }
        }
    }

    private func changeHash<Result>(_ key: [UInt8], _ body: (inout [[UInt8]: [UInt8]]) -> Result) -> Result? {
        change(key) { value in
            guard case .hash(var fields) = value ?? .hash([:]) else { return nil }
            value = .hash([:])
            defer { value = .hash(fields) }
            return body(&fields)
        }
    }

    private func setFields() -> Reply {
        guard arguments.count >= 3, arguments.count % 2 == 1 else { return ErrorText.arity(name) }
        let added = changeHash(arguments[0]) { fields in
            stride(from: 1, to: arguments.count, by: 2).count {
                fields.updateValue(arguments[$0 + 1], forKey: arguments[$0]) == nil
            }
        }
        guard let added else { return ErrorText.wrongType }
        journalVerbatim(key: arguments[0])
        return name == "HMSET" ? .ok : .integer(Int64(added))
    }

    /// Journalled also when the field was there.
    private func setNewField() -> Reply {
        guard arguments.count == 3 else { return ErrorText.arity(name) }
        let isNew = changeHash(arguments[0]) { fields in
            if fields[arguments[1]] != nil { return false }
            fields[arguments[1]] = arguments[2]
            return true
        }
        guard let isNew else { return ErrorText.wrongType }
        journalVerbatim(key: arguments[0])
        return .integer(isNew ? 1 : 0)
    }

    /// When the hash became empty, `DEL k` comes before the record.
    private func deleteFields() -> Reply {
        guard let key = arguments.first, arguments.count >= 2 else { return ErrorText.arity(name) }
        if entry(key) == nil { return .integer(0) }
        let deleted = changeHash(key) { fields in arguments.dropFirst().count { fields.removeValue(forKey: $0) != nil }
        }
        guard let deleted else { return ErrorText.wrongType }
        if entry(key) == nil { journal("DEL", key, key: key) }
        journalVerbatim(key: key)
        return .integer(Int64(deleted))
    }

    private func countField() -> Reply {
        guard arguments.count == 3 else { return ErrorText.arity(name) }
        let isInteger = name == "HINCRBY"
        let reply: Reply? = changeHash(arguments[0]) { fields in
            let old = fields[arguments[1]] ?? Array("0".utf8)
            if isInteger {
                guard let step = request.integer(2), let number = PieceWriter.canonicalInteger(old) else {
                    return .error("ERR hash value is not an integer")
                }
                let (sum, overflows) = number.addingReportingOverflow(step)
                if overflows { return .error("ERR increment or decrement would overflow") }
                fields[arguments[1]] = Self.decimal(sum)
                return .integer(sum)
            }
            guard let step = request.text(2).flatMap(Double.init),
                let number = Double(String(decoding: old, as: UTF8.self))
            else { return Self.noFloat }
            let text = ScoreText.bytes(number + step)
            fields[arguments[1]] = text
            return .bulk(text)
        }
        guard let reply else { return ErrorText.wrongType }
        if case .error = reply { return reply }
        journalVerbatim(key: arguments[0])
        return reply
    }
}
