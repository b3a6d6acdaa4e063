import Wire

/// Divides a batch at its units, and measures which commands a target does not take.
extension CommandBatch {
    /// Commands that must take effect together: those of one journal record, or one command of the snapshot.
    package struct Unit: Equatable, Sendable {
        package var commands: Range<Int>
        /// The encoded size.
        package var bytes: Int
        /// The flow's next LSN after the unit; `nil` inside the snapshot.
        package var nextLSN: UInt64?
        /// The number of journal records that end with the unit.
        package var records = 0
    }

    /// A command's size.
    package struct Size: Equatable, Sendable {
        /// The encoded size.
        package var bytes = 0
        package var longestArgument = 0
        package var allArguments = 0
    }

    /// The number of commands between MULTI and EXEC, without the checkpoint's.
    var dataCommandCount: Int { checkpointValue == nil ? commandCount : commandCount - 1 }

    /// The size of each command except the checkpoint's.
    package func sizes() -> [Size] {
        precondition(runs.isEmpty, "a batch is divided when its runs are taken apart")
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

    /// The units of a sealed batch, in order. Together they contain all of its commands.
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
            // Commands after the last record go with its unit, because they belong to no other.
            let last = units.removeLast()
            add(last.commands.lowerBound..<sizes.count, next: last.nextLSN, records: last.records)
        }
        units[units.count - 1].nextLSN = progress.nextLSN
        return units
    }

    /// The LSN of the record to which the command number `index` belongs; `nil` if it is unknown. It is unknown inside the
    /// snapshot, for commands outside the stream, and in a part of a batch.
    package func lsn(ofCommand index: Int) -> UInt64? {
        guard let next = progress.nextLSN, let firstOfJournal, !isOutsideStream(index) else { return nil }
        let operation = runs.operation(ofCommand: index)
        guard operation >= firstOfJournal, let record = recordEnds.firstIndex(where: { $0 > operation }) else {
            return nil
        }
        return next - UInt64(recordEnds.count - record)
    }

    /// Makes a separate batch of the commands of `units`, which the caller must seal.
    ///
    /// - Returns: the batch, and the number in this batch of each of its commands.
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
            batch.progress.transfers = progress.transfers
            batch.progress.flowBytes = progress.flowBytes
        }
        return (batch, numbers)
    }
}
