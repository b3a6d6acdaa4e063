/// Hashes.
struct HashCommand: LiveCommand {
    let context: CommandContext

    func execute() -> Reply? {
        switch name {
        case "HSET", "HMSET": return setFields()
        case "HSETNX": return setNewField()
        case "HDEL": return deleteFields()
        case "HINCRBY", "HINCRBYFLOAT": return countField()
        case "HGET":
            return read(.hash) { fields in arguments.count > 1 ? fields[arguments[1]].map { .bulk($0) } ?? .null : .null
            }
        case "HLEN": return read(.hash) { .integer(Int64($0.count)) }
        case "HSCAN":
            return read(.hash) { .array([.text("0"), .array($0.flatMap { [.bulk($0.key), .bulk($0.value)] })]) }
        case "HGETALL": return read(.hash) { .array($0.flatMap { [.bulk($0.key), .bulk($0.value)] }) }
        default: return nil
        }
    }

    private func setFields() -> Reply {
        guard arguments.count >= 3, arguments.count % 2 == 1 else { return ErrorText.arity(name) }
        let added = change(arguments[0], as: .hash) { fields in
            stride(from: 1, to: arguments.count, by: 2).count {
                fields.updateValue(arguments[$0 + 1], forKey: arguments[$0]) == nil
            }
        }
        guard let added else { return ErrorText.wrongType }
        journalVerbatim(key: arguments[0])
        return name == "HMSET" ? .ok : .integer(Int64(added))
    }

    /// Executes HSETNX and journals it even if the field already exists.
    private func setNewField() -> Reply {
        guard arguments.count == 3 else { return ErrorText.arity(name) }
        let isNew = change(arguments[0], as: .hash) { fields in
            if fields[arguments[1]] != nil { return false }
            fields[arguments[1]] = arguments[2]
            return true
        }
        guard let isNew else { return ErrorText.wrongType }
        journalVerbatim(key: arguments[0])
        return .integer(isNew ? 1 : 0)
    }

    /// Executes HDEL. If the hash becomes empty, `DEL k` is journaled before the command.
    private func deleteFields() -> Reply {
        guard let key = arguments.first, arguments.count >= 2 else { return ErrorText.arity(name) }
        if entry(key) == nil { return .integer(0) }
        let deleted = change(key, as: .hash) { fields in
            arguments.dropFirst().count { fields.removeValue(forKey: $0) != nil }
        }
        guard let deleted else { return ErrorText.wrongType }
        if entry(key) == nil { journal("DEL", key, key: key) }
        journalVerbatim(key: key)
        return .integer(Int64(deleted))
    }

    private func countField() -> Reply {
        guard arguments.count == 3 else { return ErrorText.arity(name) }
        let isInteger = name == "HINCRBY"
        let reply: Reply? = change(arguments[0], as: .hash) { fields in
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
