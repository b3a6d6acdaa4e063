package import Link
public import Wire

/// Commands that take effect together: `MULTI`, the commands, the checkpoint, `EXEC`.
///
/// The bytes are kept until the target has confirmed them, so that a batch whose fate is unknown can be sent again and a
/// command that the target refused can be named. A batch that outgrows its memory in the middle of one huge argument is
/// written while it is still being built, and is not kept (`isRetained`).
@usableFromInline
package final class CommandBatch: @unchecked Sendable {  // confined to the queue of the flow that it belongs to
    /// What the batch brings the flow to, once confirmed.
    package struct Progress: Equatable, Sendable {
        /// The flow's next LSN after this batch; `nil` inside the snapshot.
        package var nextLSN: UInt64?
        /// Batches of the flow so far that have left the position where it was.
        package var outOfStreamCount: UInt64 = 0
        package var records = 0
        package var keys = 0
        /// Values that were read at the source and written between records.
        package var refreshes = 0
        /// Keys whose values its records give to other keys.
        package var transfers = 0
        /// Bytes of the flow that are decoded with this batch.
        package var flowBytes: UInt64 = 0

        package init() {}
    }

    @usableFromInline package var bytes = ByteBuffer(capacity: 16 << 10)
    /// Commands between MULTI and EXEC.
    package private(set) var commandCount = 0
    package private(set) var isSealed = false
    /// Nothing of the batch has been dropped.
    package private(set) var isRetained = true
    /// The command that is being written in pieces: it is not complete yet.
    package private(set) var isInCommand = false
    /// Null and zero replies are reported as well as errors: they mean a conflict.
    package var reportsConflicts = false
    /// Empty arrays are reported as well: an XCLAIM that found no entry.
    package var reportsEmptyReplies = false
    package var progress = Progress()
    /// The target may have applied the batch, or some of it, already: it may refuse what cannot be done twice.
    package var mayHaveBeenApplied = false
    /// When it was sent for the last time.
    package var sentAt: ContinuousClock.Instant?
    /// Operations from the front that may be exchanged with each other and with those of other such batches.
    private var unorderedCount = 0
    /// What the checkpoint holds once this batch has taken effect.
    package private(set) var checkpointValue: [UInt8]?
    /// A command too large to keep: name and key, and the bytes of its long argument.
    package private(set) var longCommand: (index: Int, label: String, argumentBytes: Int)?
    /// How many operations there were at the end of each journal record: where the batch may be divided.
    private(set) var recordEnds: [UInt32] = []
    /// Operations before it are of the snapshot; `nil`: all of them.
    private(set) var firstOfJournal: Int?
    /// Consecutive plain strings become one command.
    package var joinsStrings = false
    private(set) var runs = StringRuns()

    /// Bytes from the front that the kernel has taken.
    private var written = 0
    var traits = CommandTraits()

    package init() {}

    /// An empty batch in the memory of one that is of no use any more.
    package init(inMemoryOf other: CommandBatch) {
        swap(&bytes, &other.bytes)
        bytes.removeAll()
        other.written = 0
    }

    package var isEmpty: Bool { commandCount == 0 }
    /// Encoded.
    package var byteCount: Int { bytes.count }
    /// Held for it, whether in use or not.
    package var memoryBytes: Int { bytes.capacity }

    /// Commands, each pair of a run counted as one.
    package var operationCount: Int { commandCount + runs.extraPairs }

    /// Every key in it gets a whole value, whatever it holds, and comes in no other such batch with another value: it does
    /// not matter whether the batch is applied before or after others of the kind, or twice.
    package var isUnordered: Bool { unorderedCount == operationCount && !isEmpty && progress.records == 0 }

    /// What has just been appended may be exchanged with others of the kind.
    package func noteUnordered() { if unorderedCount == operationCount - 1 { unorderedCount += 1 } }

    // MARK: Appending

    /// Appends `SET key value`, or makes it part of the run of such pairs that the batch ends with.
    package func appendString(_ key: RawSpan, _ value: RawSpan) {
        let size = key.byteCount + value.byteCount
        if let run = runs.extend(by: size) {
            return bytes.appendPair(key, value, toRunAt: run.place, pairs: run.pairs)
        }
        countCommand()
        let place = bytes.count
        bytes.appendSet(key, value)
        // Of a batch that is written while it is built the beginning may be gone.
        if joinsStrings, longCommand == nil { runs.begin(at: place, command: commandCount - 1, bytes: size) }
    }

    /// Appends the command `name` with the arguments that `arguments` appends.
    @inlinable package func append<E: Error>(
        _ name: StaticString, _ arguments: (inout ArgumentList) throws(E) -> Void
    ) throws(E) {
        let head = beginCommand()
        bytes.appendBulk(name)
        var list = ArgumentList(batch: self)
        // The command is whole whatever happens, if not the one that was meant.
        defer { bytes.endCommand(at: head, argumentCount: list.count) }
        try arguments(&list)
    }

    /// Appends a command with the name of another one.
    @inlinable package func append(named name: RawSpan, _ arguments: (inout ArgumentList) -> Void) {
        let head = beginCommand()
        bytes.appendBulk(name)
        var list = ArgumentList(batch: self)
        arguments(&list)
        bytes.endCommand(at: head, argumentCount: list.count)
    }

    @inlinable package func append<A: CommandArgument & ~Copyable & ~Escapable>(
        _ name: StaticString, _ first: borrowing A
    ) {
        command(2)
        bytes.appendBulk(name)
        first.appendBulk(to: &bytes)
    }

    @inlinable
    package func append<
        A: CommandArgument & ~Copyable & ~Escapable, B: CommandArgument & ~Copyable & ~Escapable
    >(_ name: StaticString, _ first: borrowing A, _ second: borrowing B) {
        command(3)
        bytes.appendBulk(name)
        first.appendBulk(to: &bytes)
        second.appendBulk(to: &bytes)
    }

    @inlinable
    package func append<
        A: CommandArgument & ~Copyable & ~Escapable, B: CommandArgument & ~Copyable & ~Escapable,
        C: CommandArgument & ~Copyable & ~Escapable
    >(_ name: StaticString, _ first: borrowing A, _ second: borrowing B, _ third: borrowing C) {
        command(4)
        bytes.appendBulk(name)
        first.appendBulk(to: &bytes)
        second.appendBulk(to: &bytes)
        third.appendBulk(to: &bytes)
    }

    /// Appends a command of the journal as it is.
    package func append(_ command: borrowing JournalCommand) {
        self.command(command.argumentCount)
        bytes.reserve(command.argumentBytes + command.argumentCount * 16)
        var arguments = command.arguments
        while let argument = arguments.next() { bytes.appendBulk(argument) }
    }

    /// Appends a command of which these are the name and the arguments.
    package func append(_ words: [[UInt8]]) {
        command(words.count)
        for word in words { bytes.appendBulk(word) }
    }

    /// Begins a command of `argumentCount` arguments, the name included, that is copied whole into `bytes`.
    @usableFromInline package func command(_ argumentCount: Int) {
        countCommand()
        bytes.appendCommandHead(argumentCount)
    }

    @usableFromInline func beginCommand() -> Int {
        countCommand()
        return bytes.beginCommand()
    }

    private func countCommand() {
        if commandCount == 0 { bytes.append("*1\r\n$5\r\nMULTI\r\n") }
        commandCount += 1
        runs.close()
    }

    /// Begins a command whose last argument, of `argumentBytes` bytes, will come in pieces (`appendToLongCommand`), of which
    /// the batch need not keep all.
    package func beginLongCommand(
        _ name: StaticString, label: String, argumentBytes: Int, _ arguments: (inout ArgumentList) -> Void
    ) {
        let head = beginCommand()
        bytes.appendBulk(name)
        var list = ArgumentList(batch: self)
        arguments(&list)
        bytes.endCommand(at: head, argumentCount: list.count + 1)
        bytes.appendBulkHead(argumentBytes)
        isInCommand = true
        longCommand = (commandCount - 1, label, argumentBytes)
    }

    package func appendToLongCommand(_ piece: RawSpan) { bytes.append(piece) }

    package func endLongCommand() {
        bytes.appendLineEnd()
        isInCommand = false
    }

    /// Takes out the commands before the long one that is being written, in `database`.
    ///
    /// - Returns: the commands before it, not sealed; `nil` when there is at most a SELECT.
    package func takeCommandsBeforeLongOne(in database: UInt32) -> CommandBatch? {
        guard isRetained, isInCommand, let longCommand, longCommand.index > 1 else { return nil }
        var start = 0
        visitCommand(longCommand.index) { _, reader, _ in start = reader.offset }
        let long = bytes.withUnsafeBytes { bytes in
            // Back to the command's head.
            let head = bytes[..<start].lastIndex(of: UInt8(ascii: "*")) ?? start
            return Array(bytes[head...])
        }
        let before = extracting(0..<longCommand.index, replacing: [:]).batch
        before.progress = progress
        progress = Progress()
        (commandCount, traits, recordEnds, runs) = (0, CommandTraits(), [], StringRuns())
        bytes.removeAll()
        append(["SELECT".bytes, "\(database)".bytes])
        bytes.append(long.span.bytes)
        commandCount += 1
        self.longCommand?.index = 1
        return before
    }

    /// What follows is of the journal, not of the snapshot.
    package func beginJournal() { firstOfJournal = operationCount }

    /// A record of the journal ends here; it may have had no command.
    package func endRecord() {
        progress.records += 1
        recordEnds.append(UInt32(clamping: operationCount))
    }

    /// Ends the batch. `checkpoint` is stored with it.
    package func seal(checkpoint: PositionFields?) {
        precondition(!isSealed && !isInCommand && !isEmpty, "a batch is sealed once, between commands")
        let isUnordered = isUnordered
        if let checkpoint {
            append(["HSET".bytes, checkpoint.key, checkpoint.field, checkpoint.value] + checkpoint.furtherFields)
            checkpointValue = checkpoint.value
        }
        bytes.append("*1\r\n$4\r\nEXEC\r\n")
        isSealed = true
        if isUnordered { unorderedCount = operationCount }
    }

    /// The ends of `units`, which have been taken out of another batch.
    ///
    /// - Parameter numbers: that batch's number of each command here.
    func setRecordEnds(of units: ArraySlice<Unit>, _ numbers: [Int: Int]) {
        let places = numbers.sorted { $0.value < $1.value }
        var place = 0
        for unit in units {
            while place < places.count, places[place].value < unit.commands.upperBound { place += 1 }
            let end = place == 0 ? 0 : places[place - 1].key + 1
            if unit.records > 0 { recordEnds.append(UInt32(clamping: end)) }
        }
    }

    // MARK: Writing

    /// It is to be written from its first byte on: what was sent on another connection counts no more.
    package func beginWriting() { written = 0 }

    // MARK: Looking back

    /// The same batch without the commands at `indices`, sealed, not sent; a run is taken apart.
    package func removing(_ indices: Set<Int>) -> CommandBatch {
        precondition(isRetained, "only a batch that is kept can be sent again")
        guard runs.isEmpty else { return inSingleCommands().removing(runs.operations(ofCommands: indices)) }
        precondition(indices.count < commandCount, "the checkpoint stays")
        let copy = begunCopy()
        copy.progress = progress
        copy.checkpointValue = checkpointValue
        visitCommands { number, reader, arguments in
            if !indices.contains(number) { copy.append(&reader, arguments, number: number, of: self) }
        }
        let removed = indices.sorted()
        func place(_ place: Int) -> Int { place - (removed.firstIndex { $0 >= place } ?? removed.count) }
        copy.recordEnds = recordEnds.map { UInt32(place(Int($0))) }
        copy.firstOfJournal = firstOfJournal.map(place)
        copy.bytes.append("*1\r\n$4\r\nEXEC\r\n")
        copy.isSealed = true
        return copy
    }

    /// The same batch with a command of its own for each pair of a run.
    package func inSingleCommands() -> CommandBatch {
        precondition(isRetained && !isInCommand, "only a batch that is kept can be taken apart")
        let copy = begunCopy()
        (copy.progress, copy.checkpointValue) = (progress, checkpointValue)
        (copy.recordEnds, copy.firstOfJournal) = (recordEnds, firstOfJournal)
        if let longCommand {
            let (index, label, argumentBytes) = longCommand
            copy.longCommand = (runs.operation(ofCommand: index), label, argumentBytes)
        }
        visitCommands { number, reader, arguments in
            guard runs.pairs(ofCommand: number) > 1 else {
                return copy.append(&reader, arguments, number: number, of: self)
            }
            _ = reader.readBulkArgument()
            while let key = reader.readBulkArgument(), let value = reader.readBulkArgument() {
                copy.append("SET", key, value)
                copy.traits.copy(number, of: traits, as: copy.commandCount - 1)
            }
        }
        if isSealed { copy.bytes.append("*1\r\n$4\r\nEXEC\r\n") }
        copy.isSealed = isSealed
        return copy
    }

    /// An empty batch for some of these commands.
    private func begunCopy() -> CommandBatch {
        let copy = CommandBatch()
        copy.reportsConflicts = reportsConflicts
        copy.reportsEmptyReplies = reportsEmptyReplies
        copy.mayHaveBeenApplied = mayHaveBeenApplied
        return copy
    }

    /// The commands in `range` as a batch of their own, not sealed.
    ///
    /// - Parameter replacements: what takes the place of a command, by its number.
    /// - Returns: the batch; and the number, here, of each of its commands that is one of ours.
    func extracting(
        _ range: Range<Int>, replacing replacements: [Int: [[[UInt8]]]]
    ) -> (batch: CommandBatch, numbers: [Int: Int]) {
        precondition(isRetained, "only a batch that is kept can be divided")
        let copy = begunCopy()
        var numbers: [Int: Int] = [:]
        var (database, selected) = (UInt32(0), UInt32(0))
        func select(_ database: UInt32) {
            if database != selected { copy.append(["SELECT".bytes, "\(database)".bytes]) }
            selected = database
        }
        visitCommands { number, reader, arguments in
            guard number < range.upperBound else { return }
            var ahead = ByteReader(reader.bytes, offset: reader.offset)
            if let name = ahead.readBulkArgument(), name.isWord("SELECT"), let argument = ahead.readBulkArgument() {
                // What the target refused to select it must refuse again.
                if replacements[number] == nil { database = UInt32(clamping: parseInteger(argument) ?? 0) }
                return
            }
            guard range.contains(number) else { return }
            select(database)
            if let replacement = replacements[number] {
                for command in replacement { copy.append(command) }
            } else {
                numbers[copy.commandCount] = number
                copy.append(&reader, arguments, number: number, of: self)
            }
        }
        // The checkpoint is in database 0. A transaction has a command, even if all are left out.
        if copy.isEmpty || selected != 0 { copy.append(["SELECT".bytes, [UInt8(ascii: "0")]]) }
        return (copy, numbers)
    }

    private func append(_ reader: inout ByteReader, _ arguments: Int, number: Int, of other: CommandBatch) {
        command(arguments)
        traits.copy(number, of: other.traits, as: commandCount - 1)
        let pairs = other.runs.pairs(ofCommand: number)
        if pairs > 1 { runs.add(command: commandCount - 1, pairs: pairs) }
        for _ in 0..<arguments {
            guard let argument = reader.readBulkArgument() else { return }
            bytes.appendBulk(argument)
        }
    }

    /// Calls `body` with each command between MULTI and EXEC: its number, a reader at its first argument, how many.
    func visitCommands(_ body: (Int, inout ByteReader, Int) -> Void) { visitCommands(before: commandCount, body) }

    private func visitCommands(before end: Int, _ body: (Int, inout ByteReader, Int) -> Void) {
        bytes.withUnsafeBytes { memory in
            var reader = ByteReader(RawSpan(_unsafeBytes: memory))
            _ = reader.skip(15)  // MULTI
            for number in 0..<end {
                guard let arguments = reader.readDecimalLine(after: UInt8(ascii: "*")) else { return }
                var inside = ByteReader(reader.bytes, offset: reader.offset)
                body(number, &inside, arguments)
                for _ in 0..<arguments { _ = reader.readBulkArgument() }
            }
        }
    }

    /// Calls `body` with the command number `index` and the database that it is sent in; a batch that is not kept has none.
    func visitCommand(_ index: Int, _ body: (UInt32, inout ByteReader, Int) -> Void) {
        guard isRetained, index < commandCount else { return }
        var database: UInt32 = 0
        visitCommands(before: index + 1) { number, reader, arguments in
            if number == index { return body(database, &reader, arguments) }
            guard let name = reader.readBulkArgument(), name.isWord("SELECT"), let argument = reader.readBulkArgument()
            else { return }
            database = UInt32(clamping: parseInteger(argument) ?? 0)
        }
    }
}

extension CommandBatch: OutgoingBytes {
    package var unwrittenBytes: Int { bytes.count - written }

    /// What is written of a batch that is still being built is not kept.
    package func write(_ body: (UnsafeRawBufferPointer) throws(SystemError) -> Int) throws(SystemError) {
        written += try bytes.withUnsafeBytes { (all) throws(SystemError) in
            try body(UnsafeRawBufferPointer(rebasing: all[written...]))
        }
        guard !isSealed, written > 0 else { return }
        bytes.removeFirst(written)
        written = 0
        isRetained = false
    }
}
