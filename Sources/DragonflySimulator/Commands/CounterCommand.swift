/// The commands on counters: INCR, DECR, INCRBY, DECRBY and INCRBYFLOAT.
struct CounterCommand: LiveCommand {
    let context: CommandContext

    func execute() -> Reply? {
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

    /// Adds in double precision, as Dragonfly does.
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
