import Wire

/// What is written in place of a command that the target does not take.
package struct CommandReplacement: Equatable, Sendable {
    package enum Effect: Equatable, Sendable {
        /// The command replaces the whole value, so the older value that the target has is removed.
        case removed
        /// The command sets fields, so the older fields of these names are removed.
        case fieldsRemoved
        /// The value stays as it is without the command.
        case unchanged
    }

    package var commands: [[[UInt8]]]
    package var effect: Effect
}

extension CommandBatch {
    /// - Parameter limit: longer arguments are not taken; `nil`: the command as a whole is not.
    package func replacement(ofCommand index: Int, limit: Int?) -> CommandReplacement {
        let none = CommandReplacement(commands: [], effect: .unchanged)
        // `nil` is an argument that is not taken.
        var command: [[UInt8]?] = []
        visitCommand(index) { _, reader, arguments in
            for place in 0..<arguments {
                guard let argument = reader.readBulkArgument() else { return }
                let isTaken = limit.map { argument.byteCount <= $0 } ?? (place < 2 || argument.byteCount < 1 << 10)
                command.append(isTaken ? Array(copying: argument) : nil)
            }
        }
        guard command.count > 2, !isGuarded(index), let word = command[0], let key = command[1]
        else { return none }
        let unlink = ["UNLINK".bytes, key]
        switch CommandName(word.span.bytes) {
        case "SET", "RESTORE", "SETEX", "PSETEX", "GETSET":
            return CommandReplacement(commands: [unlink], effect: .removed)
        case "JSON.SET":
            let isWhole = command[2] == [UInt8(ascii: "$")] || command[2] == [UInt8(ascii: ".")]
            return isWhole ? CommandReplacement(commands: [unlink], effect: .removed) : none
        case "MSET":
            let pairs = stride(from: 1, to: command.count - 1, by: 2).map { (command[$0], command[$0 + 1]) }
            let commands = pairs.compactMap { key, value -> [[UInt8]]? in
                guard let key else { return nil }
                if limit != nil, let value { return ["SET".bytes, key, value] }
                return ["UNLINK".bytes, key]
            }
            return CommandReplacement(commands: commands, effect: .removed)
        case "HSET", "HMSET":
            let fields = stride(from: 2, to: command.count, by: 2).compactMap { command[$0] }
            guard !fields.isEmpty else { return none }
            return CommandReplacement(commands: [["HDEL".bytes, key] + fields], effect: .fieldsRemoved)
        default: return none
        }
    }
}
