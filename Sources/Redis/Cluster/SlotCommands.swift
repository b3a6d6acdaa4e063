import Wire

/// The commands that are sent for each part of a `SlotWork`, in order.
///
/// The commands are encoded by their batch or here. `SlotCommands` also says which replies each of them is owed.
///
/// Pure.
struct SlotCommands: ~Copyable {
    /// The commands of a part, linked in a list.
    private struct Chain {
        let slot: KeySlot
        var first: CommandIndex?
        var last: CommandIndex?
        var count: Int32 = 0
        /// Whether the part contains a command that may not be repeated.
        var isTransaction = false
        /// The database of the last command. (A cluster may have several from Valkey 9 on; each slot exists in all of them.)
        var database: UInt32 = 0
        var selects = false
    }

    private let batch: CommandBatch?
    /// The mark that a transaction leaves in its slot, and the field for it; `nil` if there are no transactions.
    private let mark: (mark: SlotMark, field: MarkField)?
    /// Whether the replies are kept.
    private let wantsValues: Bool
    private var own = ByteBuffer()
    private var commands: [SlotCommand] = []
    private var chains: [Chain] = []
    private var answerCount: Int32 = 0

    init(of batch: CommandBatch, leaving mark: SlotMark, in field: MarkField) {
        (self.batch, self.mark, wantsValues) = (batch, (mark, field), false)
    }

    /// Makes commands that do not belong to the stream.
    init(wantsValues: Bool) { (batch, mark, self.wantsValues) = (nil, nil, wantsValues) }

    var partCount: Int { chains.count }
    func slot(of part: Int) -> KeySlot { chains[part].slot }
    func isTransaction(_ part: Int) -> Bool { chains[part].isTransaction }
    /// The slots in which a mark is left.
    var markedSlots: [KeySlot] { chains.filter(\.isTransaction).map(\.slot) }
    func first(of part: Int) -> CommandIndex? { chains[part].first }
    subscript(index: CommandIndex) -> SlotCommand { commands[Int(index.value)] }

    // MARK: Adding commands

    mutating func addPart(_ slot: KeySlot) -> Int {
        chains.append(Chain(slot: slot))
        return chains.count - 1
    }

    /// Adds a command of the batch as it is encoded there.
    mutating func append(
        _ number: Int, _ range: Range<Int>, to part: Int, database: UInt32, mayRepeat: Bool, hasOneKey: Bool
    ) {
        select(database, in: part)
        append(
            SlotCommand(
                number: Int32(number), isOwn: false, mayRepeat: mayRepeat, hasOneKey: hasOneKey, range: range),
            to: part)
    }

    /// - Parameter number: the number of the batch's command that this is; `nil` if it is none.
    mutating func append(_ words: [[UInt8]], for number: Int?, to part: Int, database: UInt32, mayRepeat: Bool) {
        select(database, in: part)
        let start = own.count
        own.appendCommandHead(words.count)
        for word in words { own.appendBulk(word) }
        append(
            SlotCommand(
                number: number.map { Int32($0) }, isOwn: true, mayRepeat: mayRepeat,
                hasOneKey: ClusterCommand.hasOneKey(words), range: start..<own.count, answer: answerCount),
            to: part)
        answerCount += 1
    }

    /// Adds a part with one command, which the caller writes between `beginLong` and `endLong`.
    mutating func addLong(_ number: Int, in slot: KeySlot, database: UInt32, mayRepeat: Bool) -> Int {
        let part = addPart(slot)
        select(database, in: part)
        append(SlotCommand(number: Int32(number), isOwn: true, mayRepeat: mayRepeat, range: 0..<0), to: part)
        select(0, in: part)
        return part
    }

    /// Ends every part in database 0, where the marks are. A connection is always in database 0 between two parts.
    mutating func endDatabases() { for part in chains.indices { select(0, in: part) } }

    private mutating func select(_ database: UInt32, in part: Int) {
        guard chains[part].database != database else { return }
        (chains[part].database, chains[part].selects) = (database, true)
        let start = own.count
        own.appendCommandHead(2)
        own.appendBulk("SELECT")
        own.appendBulk(decimal: Int64(database))
        append(
            SlotCommand(number: nil, isOwn: true, mayRepeat: true, range: start..<own.count, isSelect: true), to: part)
    }

    private mutating func append(_ command: SlotCommand, to part: Int) {
        let index = CommandIndex(commands.count)
        commands.append(command)
        if let last = chains[part].last {
            commands[Int(last.value)].next = index
        } else {
            chains[part].first = index
        }
        chains[part].last = index
        chains[part].count += 1
        if !command.mayRepeat, mark != nil { chains[part].isTransaction = true }
    }

    /// Removes commands that a node has refused, so that they are not sent again.
    mutating func remove(_ refused: Set<CommandIndex>, from part: Int) {
        var (next, last): (CommandIndex?, CommandIndex?) = (chains[part].first, nil)
        (chains[part].first, chains[part].count) = (nil, 0)
        while let index = next {
            next = self[index].next
            if refused.contains(index) { continue }
            if let last { commands[Int(last.value)].next = index } else { chains[part].first = index }
            last = index
            chains[part].count += 1
        }
        if let last { commands[Int(last.value)].next = nil }
        chains[part].last = last
    }

    // MARK: Sending

    /// Asks the slot's mark whether the part was applied.
    func sendQuestion(
        about part: Int, asking: Bool, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]
    ) {
        guard let mark else { preconditionFailure("only a transaction is in doubt") }
        if asking { sendAsking(for: part, into: &out, &expected) }
        let words = mark.field.question(in: chains[part].slot)
        out.appendCommandHead(words.count)
        for word in words { out.appendBulk(word) }
        expected.append(NodeExpectation(.question, part: part, wantsValue: true))
    }

    func sendTransaction(
        _ part: Int, asking: Bool, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]
    ) {
        if asking { sendAsking(for: part, into: &out, &expected) }
        sendMulti(of: part, into: &out, &expected)
        var next = chains[part].first
        while let index = next {
            write(index, to: &out)
            expected.append(NodeExpectation(.queued, part: part, command: index))
            next = self[index].next
        }
        sendMarkAndExec(of: part, into: &out, &expected)
    }

    /// Sends the commands of a part without a transaction.
    ///
    /// - Parameters:
    ///   - start: the first command to send; `nil` to send all.
    ///   - redirected: the only commands to send, each with `ASKING`; `nil` to send all without it.
    func send(
        _ part: Int, from start: CommandIndex?, redirected: [CommandIndex]?, into out: inout ByteBuffer,
        _ expected: inout [NodeExpectation]
    ) {
        let start = start ?? chains[part].first
        func send(_ index: CommandIndex, _ out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
            write(index, to: &out)
            expected.append(NodeExpectation(.command, part: part, command: index, wantsValue: wantsValues))
        }
        guard redirected != nil || chains[part].selects else {
            var next = start
            while let index = next {
                send(index, &out, &expected)
                next = self[index].next
            }
            return
        }
        for index in selection(of: part, from: start, redirected: redirected) {
            if redirected != nil, !self[index].isSelect { sendAsking(for: part, into: &out, &expected) }
            send(index, &out, &expected)
        }
    }

    /// The commands that `send` sends, including the SELECTs that they need.
    private func selection(
        of part: Int, from start: CommandIndex?, redirected: [CommandIndex]?
    ) -> [CommandIndex] {
        var selection: [CommandIndex] = []
        var left = redirected?[...] ?? []
        var next = chains[part].selects ? chains[part].first : left.first ?? start
        var select: CommandIndex?
        var hasBegun = false
        while let index = next {
            hasBegun = hasBegun || (redirected == nil && index == start)
            if self[index].isSelect, !hasBegun {
                select = index
            } else if hasBegun || left.first == index {
                if let select { selection.append(select) }
                select = nil
                selection.append(index)
                _ = left.popFirst()
            }
            next = self[index].next
        }
        // This selects database 0 again.
        if let select, redirected != nil { selection.append(select) }
        return selection
    }

    private func sendAsking(for part: Int, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        out.append("*1\r\n$6\r\nASKING\r\n")
        expected.append(NodeExpectation(.asking, part: part))
    }

    private func sendMulti(of part: Int, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        out.append("*1\r\n$5\r\nMULTI\r\n")
        expected.append(NodeExpectation(.multi, part: part))
    }

    private func sendMarkAndExec(of part: Int, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        guard let mark else { preconditionFailure("a transaction leaves a mark") }
        mark.field.append(mark.mark, in: chains[part].slot, to: &out)
        expected.append(NodeExpectation(.queuedMark, part: part))
        out.append("*1\r\n$4\r\nEXEC\r\n")
        expected.append(NodeExpectation(.exec, part: part, replies: Int(chains[part].count) + 1))
    }

    private func write(_ index: CommandIndex, to out: inout ByteBuffer) {
        _ = withBytes(of: index) { out.append($0) }
    }

    private func withBytes<Result>(of index: CommandIndex, _ body: (UnsafeRawBufferPointer) -> Result) -> Result? {
        let command = self[index]
        func slice(_ bytes: UnsafeRawBufferPointer) -> Result {
            body(UnsafeRawBufferPointer(rebasing: bytes[command.range]))
        }
        return command.isOwn ? own.withUnsafeBytes(slice) : batch?.bytes.withUnsafeBytes(slice)
    }

    /// The size of a command's longest argument in bytes.
    func longestArgument(of index: CommandIndex) -> Int? {
        withBytes(of: index) { bytes in
            var reader = ByteReader(RawSpan(_unsafeBytes: bytes))
            let count = reader.readDecimalLine(after: UInt8(ascii: "*")) ?? 0
            return (0..<count).reduce(0) { longest, _ in max(longest, reader.readBulkArgument()?.byteCount ?? 0) }
        }
    }

    // MARK: A long command

    /// - Returns: the number of replies until the end, including those of what `endLong` writes.
    func beginLong(_ part: Int, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) -> Int32 {
        let chain = chains[part]
        if chain.isTransaction { sendMulti(of: part, into: &out, &expected) }
        var next = chain.first
        while let index = next {
            let isLong = self[index].number != nil
            if !isLong { write(index, to: &out) }
            expected.append(NodeExpectation(chain.isTransaction ? .queued : .command, part: part, command: index))
            if isLong { break }
            next = self[index].next
        }
        return chain.count + (chain.isTransaction ? 3 : 0)
    }

    func endLong(_ part: Int, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        let chain = chains[part]
        // This selects database 0 again if the command was in another one.
        if let last = chain.last, self[last].number == nil {
            write(last, to: &out)
            expected.append(NodeExpectation(chain.isTransaction ? .queued : .command, part: part, command: last))
        }
        if chain.isTransaction { sendMarkAndExec(of: part, into: &out, &expected) }
    }
}
