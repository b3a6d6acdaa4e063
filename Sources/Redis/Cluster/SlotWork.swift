import Link
package import Wire

/// What a flow has to do in some slots before it goes on: a part for each slot, which is sent to whatever node serves it
/// until it is done.
///
/// A part with a command that may not be repeated is a transaction with the slot's mark; after a lost connection the mark says
/// whether it was applied. Any other part is sent again, from where it was interrupted.
///
/// Pure: it does no I/O. Confined to the queue of its flow.
package final class SlotWork: @unchecked Sendable {  // confined to the queue of the flow that it belongs to
    package enum State: Equatable, Sendable {
        /// To be sent.
        case ready
        /// Its replies are outstanding.
        case sent
        /// Its connection was lost, and its slot's mark is to be asked for.
        case inDoubt
        case done
    }

    /// Why a part is to be sent again.
    package struct Trouble: Equatable, Sendable {
        package enum Cause: Equatable, Sendable {
            case redirected(ClusterRedirection)
            /// The node is in a state that passes, in its own words.
            case passing(String)
        }

        package var cause: Cause
        package var attempts = 1
    }

    /// The batch that it is of; `nil`: what is done is none of the stream's.
    private let batch: CommandBatch?
    /// What a transaction leaves in its slot, and where.
    private let mark: (mark: SlotMark, field: MarkField)?
    /// It changes what the target holds.
    package let changesData: Bool
    /// The replies are wanted.
    private let collects: Bool
    private var own = ByteBuffer()
    private var commands: [SlotCommand] = []
    private var parts: [SlotPart] = []
    private var open = 0

    /// By part.
    package private(set) var troubles: [Int: Trouble] = [:]
    /// Parts that a reply to what is on its way has interrupted: they are sent again when all of it is answered.
    private var interruptedParts: Set<Int> = []
    private var detours: [Int: SlotDetour] = [:]
    private var refused: [Int: [(command: Int32, text: String)]] = [:]
    private var answers: Int32 = 0
    /// By command, in the order in which they were added with their words.
    package private(set) var values: [Int: RESPValue] = [:]
    /// Replies that are not what the batch's commands hoped for.
    package private(set) var irregularities: [BatchOutcome.Irregularity] = []
    /// A right is missing that the task cannot do without: what needed it has not been done, the rest may have.
    package private(set) var isForbidden = false
    /// Why the work cannot be done at all.
    package private(set) var failure: TargetError?
    /// Commands that nodes have ended their connection at with a complaint, and how often.
    private var complaints: [Int32: Int] = [:]

    /// Work of the stream.
    ///
    /// - Parameter mark: what each transaction leaves in its slot, in `field`.
    package init(of batch: CommandBatch, leaving mark: SlotMark, in field: MarkField) {
        (self.batch, self.mark) = (batch, (mark, field))
        (collects, changesData) = (false, true)
    }

    /// Work that is none of the stream's: it leaves no marks, and an error reply fails it.
    private init(collects: Bool, changesData: Bool) {
        (batch, mark) = (nil, nil)
        (self.collects, self.changesData) = (collects, changesData)
    }

    /// Work on df2redis' own keys.
    package static func maintenance(changesData: Bool = false) -> SlotWork {
        SlotWork(collects: false, changesData: changesData)
    }

    /// Questions, whose replies are kept in `values`.
    static func inquiry() -> SlotWork { SlotWork(collects: true, changesData: false) }

    /// One question in each slot.
    package static func inquiry(
        in slots: some Sequence<KeySlot>, _ question: (KeySlot) -> [[UInt8]]
    ) -> SlotWork {
        let work = inquiry()
        for slot in slots { work.append(question(slot), to: work.addPart(slot), mayRepeat: true) }
        return work
    }

    // MARK: What is to be done

    package func addPart(_ slot: KeySlot) -> Int {
        parts.append(SlotPart(slot: slot))
        open += 1
        return parts.count - 1
    }

    /// A command of the batch, as it is encoded there.
    func append(
        _ number: Int, _ range: Range<Int>, to part: Int, database: UInt32 = 0, mayRepeat: Bool, hasOneKey: Bool
    ) {
        select(database, in: part)
        append(
            SlotCommand(
                number: Int32(number), start: range.lowerBound, end: range.upperBound, isOwn: false,
                mayRepeat: mayRepeat, hasOneKey: hasOneKey),
            to: part)
    }

    /// - Parameter number: of the command of the batch that it is; `nil`: of none, and an error reply fails the work.
    package func append(
        _ words: [[UInt8]], for number: Int? = nil, to part: Int, database: UInt32 = 0, mayRepeat: Bool
    ) {
        select(database, in: part)
        let start = own.count
        own.appendCommandHead(words.count)
        for word in words { own.appendBulk(word) }
        append(
            SlotCommand(
                number: Int32(number ?? -1), start: start, end: own.count, isOwn: true, mayRepeat: mayRepeat,
                hasOneKey: ClusterCommand.hasOneKey(words), answer: answers),
            to: part)
        answers += 1
    }

    /// Marks are in database 0, and so is every connection between two parts.
    package func endDatabases() { for part in parts.indices { select(0, in: part) } }

    private func select(_ database: UInt32, in part: Int) {
        guard parts[part].database != database else { return }
        (parts[part].database, parts[part].selects) = (database, true)
        let start = own.count
        own.appendCommandHead(2)
        own.appendBulk("SELECT")
        own.appendBulk(decimal: Int64(database))
        append(
            SlotCommand(number: -1, start: start, end: own.count, isOwn: true, mayRepeat: true, isSelect: true),
            to: part)
    }

    private func append(_ command: SlotCommand, to part: Int) {
        let index = Int32(commands.count)
        commands.append(command)
        if parts[part].first < 0 {
            (parts[part].first, parts[part].from) = (index, index)
        } else {
            commands[Int(parts[part].last)].next = index
        }
        parts[part].last = index
        parts[part].count += 1
        if !command.mayRepeat, mark != nil { parts[part].isTransaction = true }
    }

    package var isEmpty: Bool { parts.isEmpty }
    package var isDone: Bool { open == 0 }
    package var partCount: Int { parts.count }
    package func slot(of part: Int) -> KeySlot { parts[part].slot }
    package func state(of part: Int) -> State { parts[part].state }
    /// Slots where a mark is left.
    package var markedSlots: [KeySlot] { parts.filter(\.isTransaction).map(\.slot) }
    /// Whether a part is sent as a transaction, which leaves a mark.
    package func isTransaction(_ part: Int) -> Bool { parts[part].isTransaction }

    // MARK: A command that somebody else writes

    /// A part whose only command is written by somebody else, between `beginLong` and `endLong`.
    package func addLong(_ number: Int, in slot: KeySlot, database: UInt32, mayRepeat: Bool) -> Int {
        let part = addPart(slot)
        select(database, in: part)
        append(SlotCommand(number: Int32(number), start: 0, end: 0, isOwn: true, mayRepeat: mayRepeat), to: part)
        select(0, in: part)
        return part
    }

    package func beginLong(_ index: Int, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        let part = parts[index]
        if part.isTransaction {
            out.append("*1\r\n$5\r\nMULTI\r\n")
            expected.append(NodeExpectation(.multi, part: index))
        }
        var next = part.first
        while next >= 0 {
            let command = commands[Int(next)]
            let isLong = command.number >= 0
            if !isLong { append(command, to: &out) }
            expected.append(
                NodeExpectation(part.isTransaction ? .queued : .command, part: index, command: Int(next)))
            if isLong { break }
            next = command.next
        }
        // All that is to be answered until the end, what `endLong` writes too.
        parts[index].outstanding = part.count + (part.isTransaction ? 3 : 0)
        (parts[index].state, parts[index].element) = (.sent, part.first)
    }

    package func endLong(_ index: Int, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        let part = parts[index]
        // Back to database 0, from another one.
        if commands[Int(part.last)].number < 0 {
            append(commands[Int(part.last)], to: &out)
            expected.append(
                NodeExpectation(part.isTransaction ? .queued : .command, part: index, command: Int(part.last)))
        }
        guard part.isTransaction else { return }
        appendMark(of: index, to: &out)
        expected.append(NodeExpectation(.queuedMark, part: index))
        out.append("*1\r\n$4\r\nEXEC\r\n")
        expected.append(NodeExpectation(.exec, part: index, command: Int(part.count + 1)))
    }

    // MARK: Sending

    /// Appends a part that is ready, or the question about one in doubt.
    ///
    /// - Parameter asking: to the node that an `ASK` has named. Of a part without a transaction only the commands that were told
    ///   to go there are sent.
    package func send(_ index: Int, asking: Bool, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        let part = parts[index]
        precondition(part.state == .ready || part.state == .inDoubt, "a part is sent once at a time")
        var outstanding: Int32 = 0
        func expect(_ kind: NodeExpectation.Kind, _ command: Int32 = -1, wantsValue: Bool = false) {
            expected.append(NodeExpectation(kind, part: index, command: Int(command), wantsValue: wantsValue))
            outstanding += 1
        }
        func ask() {
            guard asking else { return }
            out.append("*1\r\n$6\r\nASKING\r\n")
            expect(.asking)
        }
        if part.state == .inDoubt {
            ask()
            let question = mark?.field.question(in: part.slot) ?? []
            out.appendCommandHead(question.count)
            for word in question { out.appendBulk(word) }
            expect(.question, wantsValue: true)
        } else if part.isTransaction {
            ask()
            out.append("*1\r\n$5\r\nMULTI\r\n")
            expect(.multi)
            var next = part.first
            while next >= 0 {
                append(commands[Int(next)], to: &out)
                expect(.queued, next)
                next = commands[Int(next)].next
            }
            appendMark(of: index, to: &out)
            expect(.queuedMark)
            out.append("*1\r\n$4\r\nEXEC\r\n")
            expect(.exec, part.count + 1)
        } else {
            func send(_ command: Int32) {
                append(commands[Int(command)], to: &out)
                expect(.command, command, wantsValue: collects)
            }
            let detour = asking ? detours[index] : nil
            if detour == nil { endDetour(of: index) }
            parts[index].isOnDetour = detour != nil
            if detour == nil, !part.selects {
                var next = parts[index].from
                while next >= 0 {
                    send(next)
                    next = commands[Int(next)].next
                }
            } else {
                for command in wanted(of: parts[index], detour) {
                    if detour != nil, !commands[Int(command)].isSelect { ask() }
                    send(command)
                }
            }
        }
        parts[index].outstanding = outstanding
        parts[index].element = part.first
        if part.state == .ready { parts[index].state = .sent }
    }

    /// The commands of a part without a transaction that are sent next, with those that select their databases.
    private func wanted(of part: SlotPart, _ detour: SlotDetour?) -> [Int32] {
        var wanted: [Int32] = []
        var redirected = detour?.commands[...] ?? []
        var (next, select, hasBegun) = (part.selects ? part.first : redirected.first ?? part.from, Int32(-1), false)
        while next >= 0 {
            hasBegun = hasBegun || (detour == nil && next == part.from)
            if commands[Int(next)].isSelect, !hasBegun {
                select = next
            } else if hasBegun || redirected.first == next {
                if select >= 0 { wanted.append(select) }
                select = -1
                wanted.append(next)
                _ = redirected.popFirst()
            }
            next = commands[Int(next)].next
        }
        // Back to database 0.
        if select >= 0, detour != nil { wanted.append(select) }
        return wanted
    }

    private func append(_ command: SlotCommand, to out: inout ByteBuffer) {
        if command.isOwn {
            own.withUnsafeBytes { out.append(UnsafeRawBufferPointer(rebasing: $0[command.start..<command.end])) }
        } else {
            batch?.bytes.withUnsafeBytes {
                out.append(UnsafeRawBufferPointer(rebasing: $0[command.start..<command.end]))
            }
        }
    }

    private func appendMark(of index: Int, to out: inout ByteBuffer) {
        guard let mark else { preconditionFailure("a transaction leaves a mark") }
        mark.field.append(mark.mark, in: parts[index].slot, to: &out)
    }

    // MARK: Replies

    /// A reply has come.
    ///
    /// - Parameters:
    ///   - element: of the array that EXEC answers; `nil`: no element.
    ///   - reading: how addresses in it are read.
    /// - Returns: the part, when it is ready again or done, so that somebody has to look at it.
    package func receive(
        _ reply: NodeReply, for expectation: NodeExpectation, element: Int? = nil, _ reading: ClusterTopology.Reading
    ) -> Int? {
        let index = Int(expectation.part)
        if element != nil {
            receiveElement(reply, of: index)
            return nil
        }
        parts[index].outstanding -= 1
        switch expectation.kind {
        case .nodeMark: preconditionFailure("a node's mark is no part's")
        case .asking, .multi:
            if case .error(let text) = reply { interrupt(index, by: text, at: parts[index].first, reading) }
        case .queued, .queuedMark:
            if case .error(let text) = reply, !noteTrouble(index, text, at: parts[index].first, reading) {
                refused[index, default: []].append((expectation.command, text))
            }
        case .command: receiveAnswer(reply, to: expectation.command, in: index, reading)
        case .exec: if case .error(let text) = reply { receiveAbort(text, of: index, reading) }
        case .question: return receiveMark(reply, of: index, reading)
        }
        guard parts[index].outstanding == 0 else { return nil }
        if interruptedParts.remove(index) != nil {
            parts[index].state = .ready
        } else if parts[index].isOnDetour, let rest = detours.removeValue(forKey: index)?.rest, rest >= 0 {
            (parts[index].state, parts[index].from, troubles[index]) = (.ready, rest, nil)
        } else if parts[index].state == .sent {
            finish(index)
        }
        return index
    }

    private func receiveAnswer(
        _ reply: NodeReply, to command: Int32, in index: Int, _ reading: ClusterTopology.Reading
    ) {
        if interruptedParts.contains(index) {
            // It is sent again with what was before it, but for what came between commands that go elsewhere.
            guard detours[index]?.isClosed == false else { return }
            if case .error(let text) = reply, detours[index]?.met(text, by: onDetour(command), reading) == true {
                if detours[index]?.isClosed == true { parts[index].isRepeated = true }
                return
            }
            return note(reply, of: command, isRepeated: parts[index].isRepeated)
        }
        if case .error(let text) = reply, noteTrouble(index, text, at: command, reading) { return }
        note(reply, of: command, isRepeated: parts[index].isRepeated)
    }

    private func receiveElement(_ reply: NodeReply, of index: Int) {
        let command = parts[index].element
        guard command >= 0 else {
            if case .error(let text) = reply {
                fail(TargetError.reply(text, to: "the mark of slot \(parts[index].slot)"))
            }
            return
        }
        note(reply, of: command, isRepeated: false)
        parts[index].element = commands[Int(command)].next
    }

    /// EXEC has not run.
    private func receiveAbort(_ text: String, of index: Int, _ reading: ClusterTopology.Reading) {
        if interruptedParts.contains(index) || noteTrouble(index, text, at: parts[index].first, reading) {
            return refused[index] = nil
        }
        guard let refusals = refused.removeValue(forKey: index), !refusals.isEmpty else {
            return fail(TargetError.reply(text, to: "a transaction"))
        }
        for (command, text) in refusals {
            guard command >= 0 else {
                return fail(TargetError.reply(text, to: "the mark of slot \(parts[index].slot)"))
            }
            note(.error(text), of: command, isRepeated: false)
        }
        // With the right added all of it is to be done, so nothing of it is now.
        if isForbidden { return }
        remove(Set(refusals.map(\.command)), from: index)
        interruptedParts.insert(index)
    }

    private func remove(_ refused: Set<Int32>, from index: Int) {
        var (next, last) = (parts[index].first, Int32(-1))
        (parts[index].first, parts[index].count) = (-1, 0)
        while next >= 0 {
            let following = commands[Int(next)].next
            if !refused.contains(next) {
                if last < 0 { parts[index].first = next } else { commands[Int(last)].next = next }
                last = next
                parts[index].count += 1
            }
            next = following
        }
        if last >= 0 { commands[Int(last)].next = -1 }
        (parts[index].last, parts[index].from) = (last, parts[index].first)
    }

    /// The slot's mark says whether a part in doubt was applied.
    private func receiveMark(_ reply: NodeReply, of index: Int, _ reading: ClusterTopology.Reading) -> Int? {
        switch reply {
        case .error(let text): interrupt(index, by: text, at: parts[index].first, reading)
        case .value(let value) where value.text == mark?.mark.text: finish(index)
        case .value, .shape: parts[index].state = .ready
        }
        // Whether it was applied is still open, if the question could not be asked.
        if interruptedParts.remove(index) != nil { parts[index].state = .inDoubt }
        return index
    }

    /// An error that another attempt does not mend fails the work.
    private func interrupt(_ index: Int, by text: String, at command: Int32, _ reading: ClusterTopology.Reading) {
        if !noteTrouble(index, text, at: command, reading) { fail(TargetError.reply(text, to: "a request")) }
    }

    /// - Returns: `false` for an error that another attempt does not mend.
    private func noteTrouble(
        _ index: Int, _ text: String, at command: Int32, _ reading: ClusterTopology.Reading
    ) -> Bool {
        let cause: Trouble.Cause
        if let redirection = ClusterRedirection(text, reading) {
            cause = .redirected(redirection)
        } else if TargetError.isTransientReply(text) {
            cause = .passing(text)
        } else {
            return false
        }
        guard interruptedParts.insert(index).inserted else { return true }
        troubles[index] = Trouble(cause: cause, attempts: (troubles[index]?.attempts ?? 0) + 1)
        guard !parts[index].isTransaction else { return true }
        if !parts[index].isOnDetour, case .redirected(.ask(_, let destination)) = cause {
            let detour = SlotDetour(to: destination, onDetour(command))
            detours[index] = detour
            if detour.isClosed { parts[index].isRepeated = true }
            return true
        }
        // What follows it may have been executed, and is repeated: so all of the slot is in order.
        detours[index] = nil
        (parts[index].from, parts[index].isRepeated) = (command, true)
        return true
    }

    private func onDetour(_ command: Int32) -> SlotDetour.Command {
        .init(place: command, next: commands[Int(command)].next, hasOneKey: commands[Int(command)].hasOneKey)
    }

    /// The part goes to the slot's master again, from the first command that was to make a detour.
    private func endDetour(of index: Int) {
        guard !detours.isEmpty, let first = detours.removeValue(forKey: index)?.commands.first else { return }
        (parts[index].from, parts[index].isRepeated) = (first, true)
    }

    private func note(_ reply: NodeReply, of command: Int32, isRepeated: Bool) {
        let number = Int(commands[Int(command)].number)
        switch reply {
        case .value(let value):
            let answer = commands[Int(command)].answer
            if answer >= 0 { values[Int(answer)] = value }
        case .error(let text):
            guard number >= 0, batch != nil else { return fail(TargetError.reply(text, to: "a request")) }
            let irregularity = BatchOutcome.Irregularity(command: number, kind: .error(text))
            if let batch, irregularity.isMissingRight(in: batch) { isForbidden = true }
            // What is repeated meets what has come after it.
            if isRepeats(command, isRepeated), text.hasPrefix("WRONGTYPE") { return }
            irregular(number, .error(text))
        case .shape(let shape, let isZero):
            guard number >= 0, let batch else { return }
            switch shape {
            case .null where batch.reportsConflicts: irregular(number, .null)
            case .integer
            where isZero && (batch.reportsConflicts || (batch.isEffective(number) && !isRepeats(command, isRepeated))):
                irregular(number, .zero)
            case .array(elements: 0, _) where batch.reportsEmptyReplies: irregular(number, .empty)
            default: break
            }
        }
    }

    private func isRepeats(_ command: Int32, _ isRepeated: Bool) -> Bool {
        commands[Int(command)].mayRepeat && (isRepeated || batch?.mayHaveBeenApplied == true)
    }

    private func irregular(_ number: Int, _ kind: BatchOutcome.Irregularity.Kind) {
        let irregularity = BatchOutcome.Irregularity(command: number, kind: kind)
        // A command may have been divided.
        if !irregularities.contains(irregularity) { irregularities.append(irregularity) }
    }

    private func fail(_ error: TargetError) { if failure == nil { failure = error } }

    private func finish(_ index: Int) {
        guard parts[index].state != .done else { return }
        parts[index].state = .done
        open -= 1
    }

    // MARK: Losses

    /// How often a node names a request as the reason to end its connection until the request is blamed.
    private static let complaintsUntilBlamed = 2

    /// A node ends its connection because of a request. Replies come in order, so the request is the one that its words came
    /// for; it counts as not answered.
    ///
    /// - Returns: the bytes of the request's longest argument, when it is to blame: nobody takes it.
    package func complained(about expectation: NodeExpectation) -> Int? {
        guard expectation.command >= 0, [.command, .queued].contains(expectation.kind) else { return nil }
        complaints[expectation.command, default: 0] += 1
        guard complaints[expectation.command, default: 0] >= Self.complaintsUntilBlamed else { return nil }
        let command = commands[Int(expectation.command)]
        func longest(_ bytes: UnsafeRawBufferPointer) -> Int {
            var reader = ByteReader(
                RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[command.start..<command.end])))
            let count = reader.readDecimalLine(after: UInt8(ascii: "*")) ?? 0
            return (0..<count).reduce(0) { longest, _ in max(longest, reader.readBulkArgument()?.byteCount ?? 0) }
        }
        return command.isOwn ? own.withUnsafeBytes(longest) : batch?.bytes.withUnsafeBytes(longest)
    }

    /// The connection that carried a part has ended.
    ///
    /// What it has confirmed since the node's last mark, another node in its place may lack: a part may be open again.
    package func lost(_ index: Int) {
        if parts[index].state == .done { open += 1 }
        parts[index].outstanding = 0
        refused[index] = nil
        interruptedParts.remove(index)
        (detours[index], parts[index].isOnDetour) = (nil, false)
        if parts[index].state == .inDoubt { return }
        if parts[index].isTransaction {
            parts[index].state = .inDoubt
        } else {
            parts[index].state = .ready
            (parts[index].from, parts[index].isRepeated) = (parts[index].first, true)
        }
    }
}
