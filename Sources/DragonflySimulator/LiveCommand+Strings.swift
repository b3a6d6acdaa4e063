import Base

/// Strings and counters.
extension LiveCommand {
    func executeString() -> Reply? {
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

    /// `SET k v [PXAT ms] [KEEPTTL]`; NX, XX and GET are dropped, and what changed nothing is not journalled.
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
        let count: Int? = change(key) { value in
            guard case .string(var bytes) = value ?? .string([]) else { return nil }
            value = .string([])
            bytes += arguments[1]
            value = .string(bytes)
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

    // MARK: Counters

    func executeCounter() -> Reply? {
        switch name {
        case "INCR": return count(by: 1)
        case "DECR": return count(by: -1)
        case "INCRBY": return request.integer(1).map { count(by: $0) } ?? Self.noInteger
        case "DECRBY": return request.integer(1).map { count(by: -$0) } ?? Self.noInteger
        case "INCRBYFLOAT": return countFloat()
        default: return nil
        }
    }

    private func count(by step: Int64) -> Reply {
        withKey { key in
            var number: Int64 = 0
            switch entry(key)?.value {
            case nil: break
            case .string(let bytes)?:
                guard let parsed = PieceWriter.canonicalInteger(bytes) else { return Self.noInteger }
                number = parsed
            default: return ErrorText.wrongType
            }
            let (sum, overflows) = number.addingReportingOverflow(step)
            if overflows { return .error("ERR increment or decrement would overflow") }
            change(key) { $0 = .string(Self.decimal(sum)) }
            journalVerbatim(key: key)
            return .integer(sum)
        }
    }

    /// Computed in double, as Dragonfly does.
    private func countFloat() -> Reply {
        withKey { key in
            guard let step = request.text(1).flatMap(Double.init) else { return Self.noFloat }
            var number = 0.0
            switch entry(key)?.value {
            case nil: break
            case .string(let bytes)?:
                guard let parsed = Double(String(decoding: bytes, as: UTF8.self)) else { return Self.noFloat }
                number = parsed
            default: return ErrorText.wrongType
            }
            let text = ScoreText.bytes(number + step)
            change(key) { $0 = .string(text) }
            journalVerbatim(key: key)
            return .bulk(text)
        }
    }
}
