import Wire

/// Where a batch may be divided, and what of it a target does not take.
extension CommandBatch {
    /// Commands that must take effect together: those of one journal record, or one command of the snapshot.
    package struct Unit: Equatable, Sendable {
        package var commands: Range<Int>
        /// Encoded.
        package var bytes: Int
        /// The flow's next LSN after it; `nil` inside the snapshot.
        package var nextLSN: UInt64?
        /// Journal records that end with it.
        package var records = 0
    }

    /// A command's size.
    package struct Size: Equatable, Sendable {
        /// Encoded.
        package var bytes = 0
        package var longestArgument = 0
        package var allArguments = 0
    }

    /// Commands between MULTI and EXEC, without the checkpoint's.
    var dataCommandCount: Int { checkpointValue == nil ? commandCount : commandCount - 1 }

    /// The size of each command, the checkpoint's left out.
    package func sizes() -> [Size] {
        var sizes: [Size] = []
        let count = dataCommandCount
        sizes.reserveCapacity(count)
        visitCommands { number, reader, arguments in
            guard number < count else { return }
            var size = Size()
            let start = reader.offset
            for _ in 0..<arguments {
                guard let argument = reader.readBulkArgument() else { return }
                size.longestArgument = max(size.longestArgument, argument.byteCount)
                size.allArguments += argument.byteCount
            }
            size.bytes = reader.offset - start
            sizes.append(size)
        }
        return sizes
    }

    /// The units of a sealed batch, in order; together they are all of it.
    package func units(_ sizes: [Size]) -> [Unit] {
        let journal = firstOfJournal ?? sizes.count
        var units: [Unit] = []
        func add(_ commands: Range<Int>, next: UInt64?, records: Int) {
            let bytes = sizes[commands].reduce(0) { $0 + $1.bytes }
            units.append(Unit(commands: commands, bytes: bytes, nextLSN: next, records: records))
        }
        for number in 0..<min(journal, sizes.count) { add(number..<(number + 1), next: nil, records: 0) }
        var start = journal
        let first = (progress.nextLSN ?? 0) - UInt64(recordEnds.count)
        for (index, end) in recordEnds.enumerated() {
            add(start..<max(start, Int(end)), next: first + UInt64(index) + 1, records: 1)
            start = max(start, Int(end))
        }
        if units.isEmpty {
            add(0..<sizes.count, next: nil, records: 0)
        } else if start < sizes.count {
            // What follows the last record belongs to no other.
            let last = units.removeLast()
            add(last.commands.lowerBound..<sizes.count, next: last.nextLSN, records: last.records)
        }
        units[units.count - 1].nextLSN = progress.nextLSN
        return units
    }

    /// What is written in the place of a command that the target does not take.
    package struct Remainder: Equatable, Sendable {
        package enum Effect: Equatable, Sendable {
            /// The command replaced the whole value: what the target has there is of before, and is removed.
            case removed
            /// So with the fields that it set.
            case fieldsRemoved
            /// The value stays as it is without the command.
            case unchanged
        }

        package var commands: [[[UInt8]]]
        package var effect: Effect
    }

    /// - Parameter limit: longer arguments are not taken; `nil`: the command as a whole is not.
    package func remainder(ofCommand index: Int, limit: Int?) -> Remainder {
        let none = Remainder(commands: [], effect: .unchanged)
        // `nil` is an argument that is not taken.
        var command: [[UInt8]?] = []
        visitCommands { number, reader, arguments in
            guard number == index else { return }
            for place in 0..<arguments {
                guard let argument = reader.readBulkArgument() else { return }
                let isTaken = limit.map { argument.byteCount <= $0 } ?? (place < 2 || argument.byteCount < 1 << 10)
                command.append(isTaken ? argument.withUnsafeBytes { Array($0) } : nil)
            }
        }
        guard command.count > 2, !isGuarded(index), let word = command[0], let name = CommandName(word.span.bytes),
            let key = command[1]
        else { return none }
        let unlink = [Array("UNLINK".utf8), key]
        switch name {
        case "SET", "RESTORE", "SETEX", "PSETEX", "GETSET": return Remainder(commands: [unlink], effect: .removed)
        case "JSON.SET":
            let isWhole = command[2] == [UInt8(ascii: "$")] || command[2] == [UInt8(ascii: ".")]
            return isWhole ? Remainder(commands: [unlink], effect: .removed) : none
        case "MSET":
            let pairs = stride(from: 1, to: command.count - 1, by: 2).map { (command[$0], command[$0 + 1]) }
            let commands = pairs.compactMap { key, value -> [[UInt8]]? in
                guard let key else { return nil }
                if limit != nil, let value { return [Array("SET".utf8), key, value] }
                return [Array("UNLINK".utf8), key]
            }
            return Remainder(commands: commands, effect: .removed)
        case "HSET", "HMSET":
            let fields = stride(from: 2, to: command.count, by: 2).compactMap { command[$0] }
            guard !fields.isEmpty else { return none }
            return Remainder(commands: [[Array("HDEL".utf8), key] + fields], effect: .fieldsRemoved)
        default: return none
        }
    }

    /// The commands of `units` as a batch of their own, to be sealed by the caller.
    ///
    /// - Returns: the batch, and this batch's number of each of its commands.
    package func part(
        _ units: ArraySlice<Unit>, isLast: Bool, replacing replacements: [Int: [[[UInt8]]]]
    ) -> (batch: CommandBatch, numbers: [Int: Int]) {
        guard let first = units.first, let last = units.last else { preconditionFailure("a part has units") }
        let (batch, numbers) = extracting(
            first.commands.lowerBound..<last.commands.upperBound, replacing: replacements)
        batch.progress.nextLSN = last.nextLSN
        batch.progress.records = units.reduce(0) { $0 + $1.records }
        batch.setRecordEnds(of: units, numbers)
        if isLast {
            batch.progress.keys = progress.keys
            batch.progress.refreshes = progress.refreshes
            batch.progress.flowBytes = progress.flowBytes
        }
        return (batch, numbers)
    }
}
