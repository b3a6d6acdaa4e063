import Base

/// Strings; `CounterCommand` handles counters.
struct StringCommand: LiveCommand {
    let context: CommandContext

    func execute() -> Reply? {
        switch name {
        case "GET":
            return withString {
                .bulk($0)
            } ifMissing: {
                .null
            }
        case "STRLEN":
            return withString {
                .integer(Int64($0.count))
            } ifMissing: {
                .integer(0)
            }
        case "GETRANGE":
            let (first, last) = (request.integer(1) ?? 0, request.integer(2) ?? -1)
            return withString {
                let end = last < 0 ? Int64($0.count) + last : min(last, Int64($0.count) - 1)
                return .bulk(first >= 0 && first <= end ? Array($0[Int(first)...Int(end)]) : [])
            } ifMissing: {
                .bulk([])
            }
        case "GETEX":
            return withKey { key in
                withString {
                    getAndExpire(key, $0)
                } ifMissing: {
                    .null
                }
            }
        case "MGET":
            return .array(
                arguments.map { key in
                    if case .string(let bytes) = entry(key)?.value { return .bulk(bytes) }
                    return .null
                })
        case "SET": return arguments.count >= 2 ? set() : ErrorText.arity(name)
        case "SETEX", "PSETEX": return arguments.count == 3 ? setWithExpiry() : ErrorText.arity(name)
        case "SETNX":
            guard arguments.count == 2 else { return ErrorText.arity(name) }
            if entry(arguments[0]) != nil { return .integer(0) }
            set(arguments[0], .string(arguments[1]))
            journalVerbatim(key: arguments[0])
            return .integer(1)
        case "GETSET", "GETDEL": return exchange()
        case "APPEND": return arguments.count == 2 ? append() : ErrorText.arity(name)
        case "MSET": return arguments.count >= 2 && arguments.count % 2 == 0 ? setMany() : ErrorText.arity(name)
        default: return nil
        }
    }

    private func withString(_ body: ([UInt8]) -> Reply, ifMissing missing: () -> Reply) -> Reply {
        withKey { key in
            switch entry(key)?.value {
            case nil: missing()
            case .string(let bytes)?: body(bytes)
            default: ErrorText.wrongType
            }
        }
    }

    /// Executes SET; journals `SET k v [PXAT ms] [KEEPTTL]` without NX, XX and GET. A SET that changes nothing is not
    /// journaled.
    private func set() -> Reply {
        let (key, value) = (arguments[0], arguments[1])
        let old = entry(key)
        var expiresAt: Int64?
        var keepsExpiry = false
        var answersOld = false
        var index = 2
        while let option = request.keyword(index) {
            switch option {
            case "EX", "PX", "EXAT", "PXAT":
                guard let number = request.integer(index + 1) else { return Self.noInteger }
                expiresAt = Self.deadline(option, number)
                index += 1
            case "KEEPTTL": keepsExpiry = true
            case "GET": answersOld = true
            case "NX": if old != nil { return answersOld ? oldString(old) : .null }
            case "XX": if old == nil { return .null }
            default: return ErrorText.syntax
            }
            index += 1
        }
        let reply = answersOld ? oldString(old) : .ok
        if let time = expiresAt, time <= WallClock.milliseconds() {
            // The master deletes the key and journals nothing.
            store[database, key] = nil
            return reply
        }
        set(key, .string(value), expiresAt: keepsExpiry ? old?.expiresAt : expiresAt)
        var words = [Array("SET".utf8), key, value]
        if let expiresAt { words += [Array("PXAT".utf8), Self.decimal(expiresAt)] }
        if keepsExpiry { words.append(Array("KEEPTTL".utf8)) }
        journal(words, key: key)
        return reply
    }

    private func oldString(_ entry: LiveStore.Entry?) -> Reply {
        guard let entry else { return .null }
        if case .string(let bytes) = entry.value { return .bulk(bytes) }
        return ErrorText.wrongType
    }

    private func setWithExpiry() -> Reply {
        guard let number = request.integer(1), number > 0 else { return Self.noInteger }
        let time = Self.deadline(name, number)
        set(arguments[0], .string(arguments[2]), expiresAt: time)
        journal("SET", arguments[0], arguments[2], Array("PXAT".utf8), Self.decimal(time), key: arguments[0])
        return .ok
    }

    private func exchange() -> Reply {
        guard let key = arguments.first, arguments.count == (name == "GETSET" ? 2 : 1) else {
            return ErrorText.arity(name)
        }
        let old = oldString(entry(key))
        if old == ErrorText.wrongType { return old }
        if name == "GETSET" { set(key, .string(arguments[1])) } else { store[database, key] = nil }
        if name == "GETSET" || old != .null { journalVerbatim(key: key) }
        return old
    }

    private func append() -> Reply {
        let key = arguments[0]
        let count = change(key, as: .string) { bytes in
            bytes += arguments[1]
            return bytes.count
        }
        guard let count else { return ErrorText.wrongType }
        journalVerbatim(key: key)
        return .integer(Int64(count))
    }

    private func setMany() -> Reply {
        let pairs = stride(from: 0, to: arguments.count, by: 2).map { (key: arguments[$0], value: arguments[$0 + 1]) }
        for pair in pairs { set(pair.key, .string(pair.value)) }
        journalSplit(pairs.map { (key: $0.key, words: [$0.key, $0.value]) })
        return .ok
    }

    /// Executes GETEX; journals PEXPIREAT or PERSIST. Without an option, masters before v1.40 journal by mistake a
    /// PEXPIREAT with the current time.
    private func getAndExpire(_ key: [UInt8], _ bytes: [UInt8]) -> Reply {
        switch request.keyword(1) {
        case nil:
            if core.options.version < DragonflyVersion(1, 40, 0) {
                journal("PEXPIREAT", key, Self.decimal(WallClock.milliseconds()), key: key)
            }
        case "PERSIST": _ = persist(key)
        case let option?:
            guard ["EX", "PX", "EXAT", "PXAT"].contains(option), let value = request.integer(2) else {
                return ErrorText.syntax
            }
            let time = Self.deadline(option, value)
            store[database, key]?.expiresAt = time
            journal("PEXPIREAT", key, Self.decimal(time), key: key)
        }
        return .bulk(bytes)
    }
}
