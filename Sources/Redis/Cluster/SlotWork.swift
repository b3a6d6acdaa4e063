import Link
package import Wire

/// The work that a flow must complete in some slots before it continues. It has a part for each slot, which is sent to the
/// node that serves the slot until the part is done.
///
/// A part with a command that may not be repeated is sent as a transaction that includes the slot's mark. After a lost
/// connection the mark shows whether the transaction was applied. Any other part is sent again from where it was
/// interrupted.
///
/// Pure: it does no I/O. Confined to the queue of its flow.
package final class SlotWork: @unchecked Sendable {  // confined to the queue of the flow that it belongs to
    package enum State: Equatable, Sendable {
        /// The part must be sent.
        case ready
        /// The part's replies are outstanding.
        case sent
        /// The part's connection was lost, and its slot's mark must be read.
        case inDoubt
        case done
    }

    /// Why a part must be sent again.
    package struct Retry: Equatable, Sendable {
        package enum Cause: Equatable, Sendable {
            case redirected(ClusterRedirection)
            /// The node is in a temporary state, which its error text describes.
            case passing(String)
        }

        package var cause: Cause
        package var attempts = 1
    }

    /// The batch to which the work belongs; `nil` if it does not belong to the stream.
    private let batch: CommandBatch?
    /// The mark that a transaction leaves in its slot; `nil` if there are no transactions.
    private let mark: SlotMark?
    /// Whether the work changes data in the target.
    package let changesData: Bool
    private var commands: SlotCommands
    private var parts: [SlotPart] = []
    private var open = 0

    /// The trouble of each part.
    package private(set) var retries: [Int: Retry] = [:]
    /// Parts that a reply has interrupted. They are sent again after all outstanding replies have arrived.
    private var interruptedParts: Set<Int> = []
    private var detours: [Int: SlotDetour] = [:]
    /// Refused commands of transactions that are on their way, by part. The command is `nil` for the mark.
    private var refused: [Int: [(command: CommandIndex?, text: String)]] = [:]
    /// The kept replies, by the order in which their commands were added as words.
    package private(set) var values: [Int: RESPValue] = [:]
    /// Unexpected replies to commands of the batch.
    package private(set) var unexpectedReplies: [UnexpectedReply] = []
    /// Whether the task lacks a right that it needs. Commands that need the right have not been run; others may have been.
    package private(set) var isForbidden = false
    /// Why the work cannot be completed at all.
    package private(set) var failure: TargetError?
    /// How often nodes have ended their connection with a complaint about a command.
    private var complaints: [CommandIndex: Int] = [:]

    /// Makes work that belongs to the stream.
    ///
    /// - Parameter mark: the mark that each transaction leaves in its slot, in `field`.
    package init(of batch: CommandBatch, leaving mark: SlotMark, in field: MarkField) {
        (self.batch, self.mark, changesData) = (batch, mark, true)
        commands = SlotCommands(of: batch, leaving: mark, in: field)
    }

    /// Makes work that does not belong to the stream. It leaves no marks, and an error reply fails it.
    private init(keepsReplies: Bool, changesData: Bool) {
        (batch, mark, self.changesData) = (nil, nil, changesData)
        commands = SlotCommands(wantsValues: keepsReplies)
    }

    /// Makes work on df2redis' own keys.
    package static func maintenance(changesData: Bool = false) -> SlotWork {
        SlotWork(keepsReplies: false, changesData: changesData)
    }

    /// Makes work that asks questions and keeps the replies in `values`.
    static func inquiry() -> SlotWork { SlotWork(keepsReplies: true, changesData: false) }

    /// Makes work that asks one question in each slot.
    package static func inquiry(
        in slots: some Sequence<KeySlot>, _ question: (KeySlot) -> [[UInt8]]
    ) -> SlotWork {
        let work = inquiry()
        for slot in slots { work.append(question(slot), to: work.addPart(slot), mayRepeat: true) }
        return work
    }

    package var isEmpty: Bool { parts.isEmpty }
    package var isDone: Bool { open == 0 }
    package var partCount: Int { parts.count }
    package func slot(of part: Int) -> KeySlot { commands.slot(of: part) }
    package func state(of part: Int) -> State { parts[part].state }
    /// The slots in which a mark is left.
    package var markedSlots: [KeySlot] { commands.markedSlots }
    /// Whether a part is sent as a transaction, which leaves a mark.
    package func isTransaction(_ part: Int) -> Bool { commands.isTransaction(part) }

    // MARK: Adding commands

    package func addPart(_ slot: KeySlot) -> Int {
        addProgress()
        return commands.addPart(slot)
    }

    private func addProgress() {
        parts.append(SlotPart())
        open += 1
    }

    /// Adds a command of the batch as it is encoded there.
    func append(
        _ number: Int, _ range: Range<Int>, to part: Int, database: UInt32 = 0, mayRepeat: Bool, hasOneKey: Bool
    ) {
        commands.append(number, range, to: part, database: database, mayRepeat: mayRepeat, hasOneKey: hasOneKey)
    }

    /// - Parameter number: the number of the batch's command that this is; `nil` if it is none, so that an error reply fails
    ///   the work.
    package func append(
        _ words: [[UInt8]], for number: Int? = nil, to part: Int, database: UInt32 = 0, mayRepeat: Bool
    ) {
        commands.append(words, for: number, to: part, database: database, mayRepeat: mayRepeat)
    }

    /// Ends every part in database 0, where the marks are. A connection is always in database 0 between two parts.
    package func endDatabases() { commands.endDatabases() }

    // MARK: A long command

    /// Adds a part with one command, which the caller writes between `beginLong` and `endLong`.
    package func addLong(_ number: Int, in slot: KeySlot, database: UInt32, mayRepeat: Bool) -> Int {
        addProgress()
        return commands.addLong(number, in: slot, database: database, mayRepeat: mayRepeat)
    }

    package func beginLong(_ index: Int, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        parts[index].outstanding = commands.beginLong(index, into: &out, &expected)
        (parts[index].state, parts[index].element) = (.sent, commands.first(of: index))
    }

    package func endLong(_ index: Int, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        commands.endLong(index, into: &out, &expected)
    }

    // MARK: Sending

    /// Appends a part that is ready, or the question about a part in doubt.
    ///
    /// - Parameter asking: whether the part goes to the node that an `ASK` has named. If the part is not a transaction, only
    ///   the commands that were redirected to that node are sent.
    package func send(_ index: Int, asking: Bool, into out: inout ByteBuffer, _ expected: inout [NodeExpectation]) {
        let state = parts[index].state
        precondition(state == .ready || state == .inDoubt, "a part is sent once at a time")
        let before = expected.count
        if state == .inDoubt {
            commands.sendQuestion(about: index, asking: asking, into: &out, &expected)
        } else if commands.isTransaction(index) {
            commands.sendTransaction(index, asking: asking, into: &out, &expected)
        } else {
            let detour = asking ? detours[index] : nil
            if detour == nil { endDetour(of: index) }
            parts[index].isOnDetour = detour != nil
            commands.send(index, from: parts[index].from, redirected: detour?.commands, into: &out, &expected)
        }
        parts[index].outstanding = Int32(expected.count - before)
        parts[index].element = commands.first(of: index)
        if state == .ready { parts[index].state = .sent }
    }

    // MARK: Replies

    /// Takes a reply.
    ///
    /// - Parameters:
    ///   - element: the index of an element in the array of an EXEC; `nil` for a complete reply.
    ///   - reading: how to read addresses in the reply.
    /// - Returns: the part if it is ready again or done, so that the caller must look at it.
    package func receive(
        _ reply: NodeReply, for expectation: NodeExpectation, element: Int? = nil, _ reading: ClusterTopology.Reading
    ) -> Int? {
        guard let part = expectation.part else { preconditionFailure("a node's mark is no part's") }
        let index = Int(part)
        if element != nil {
            receiveElement(reply, of: index)
            return nil
        }
        parts[index].outstanding -= 1
        switch expectation.kind {
        case .nodeMark: preconditionFailure("a node's mark is no part's")
        case .asking, .multi:
            if case .error(let text) = reply { interrupt(index, by: text, at: commands.first(of: index), reading) }
        case .queued, .queuedMark:
            if case .error(let text) = reply, !noteRetry(index, text, at: commands.first(of: index), reading) {
                refused[index, default: []].append((expectation.command, text))
            }
        case .command:
            guard let command = expectation.command else { preconditionFailure("a command's reply is of a command") }
            receiveAnswer(reply, to: command, in: index, reading)
        case .exec: if case .error(let text) = reply { receiveAbort(text, of: index, reading) }
        case .question: return receiveMark(reply, of: index, reading)
        }
        guard parts[index].outstanding == 0 else { return nil }
        if interruptedParts.remove(index) != nil {
            parts[index].state = .ready
        } else if parts[index].isOnDetour, let rest = detours.removeValue(forKey: index)?.rest {
            (parts[index].state, parts[index].from, retries[index]) = (.ready, rest, nil)
        } else if parts[index].state == .sent {
            finish(index)
        }
        return index
    }

    private func receiveAnswer(
        _ reply: NodeReply, to command: CommandIndex, in index: Int, _ reading: ClusterTopology.Reading
    ) {
        if interruptedParts.contains(index) {
            // The command is sent again with everything before it, except for commands between those that take a detour.
            guard detours[index]?.isClosed == false else { return }
            if case .error(let text) = reply, detours[index]?.met(text, by: onDetour(command), reading) == true {
                if detours[index]?.isClosed == true { parts[index].isRepeated = true }
                return
            }
            return note(reply, of: command, isRepeated: parts[index].isRepeated)
        }
        if case .error(let text) = reply, noteRetry(index, text, at: command, reading) { return }
        note(reply, of: command, isRepeated: parts[index].isRepeated)
    }

    private func receiveElement(_ reply: NodeReply, of index: Int) {
        guard let command = parts[index].element else {
            if case .error(let text) = reply {
                fail(TargetError.reply(text, to: "the mark of slot \(commands.slot(of: index))"))
            }
            return
        }
        note(reply, of: command, isRepeated: false)
        parts[index].element = commands[command].next
    }

    /// Handles an EXEC that has not run.
    private func receiveAbort(_ text: String, of index: Int, _ reading: ClusterTopology.Reading) {
        if interruptedParts.contains(index) || noteRetry(index, text, at: commands.first(of: index), reading) {
            return refused[index] = nil
        }
        guard let refusals = refused.removeValue(forKey: index), !refusals.isEmpty else {
            return fail(TargetError.reply(text, to: "a transaction"))
        }
        for (command, text) in refusals {
            guard let command else {
                return fail(TargetError.reply(text, to: "the mark of slot \(commands.slot(of: index))"))
            }
            note(.error(text), of: command, isRepeated: false)
        }
        // The whole transaction must be applied after the right is granted, so none of it is applied now.
        if isForbidden { return }
        commands.remove(Set(refusals.compactMap(\.command)), from: index)
        interruptedParts.insert(index)
    }

    /// Takes a slot's mark, which says whether the part in doubt was applied.
    private func receiveMark(_ reply: NodeReply, of index: Int, _ reading: ClusterTopology.Reading) -> Int? {
        switch reply {
        case .error(let text): interrupt(index, by: text, at: commands.first(of: index), reading)
        case .value(let value) where value.text == mark?.text: finish(index)
        case .value, .outline: parts[index].state = .ready
        }
        // If the question could not be answered, the part stays in doubt.
        if interruptedParts.remove(index) != nil { parts[index].state = .inDoubt }
        return index
    }

    /// Interrupts a part so that it is sent again. An error that another attempt does not resolve fails the work.
    private func interrupt(_ index: Int, by text: String, at command: CommandIndex?, _ reading: ClusterTopology.Reading)
    {
        if !noteRetry(index, text, at: command, reading) { fail(TargetError.reply(text, to: "a request")) }
    }

    /// - Returns: `false` if another attempt does not resolve the error.
    private func noteRetry(
        _ index: Int, _ text: String, at command: CommandIndex?, _ reading: ClusterTopology.Reading
    ) -> Bool {
        let cause: Retry.Cause
        if let redirection = ClusterRedirection(text, reading) {
            cause = .redirected(redirection)
        } else if TargetError.isTransientReply(text) {
            cause = .passing(text)
        } else {
            return false
        }
        guard interruptedParts.insert(index).inserted else { return true }
        retries[index] = Retry(cause: cause, attempts: (retries[index]?.attempts ?? 0) + 1)
        guard !commands.isTransaction(index) else { return true }
        if !parts[index].isOnDetour, case .redirected(.ask(_, let destination)) = cause, let command {
            let detour = SlotDetour(to: destination, onDetour(command))
            detours[index] = detour
            if detour.isClosed { parts[index].isRepeated = true }
            return true
        }
        // Commands after it may have been executed. They are repeated, so that the slot's commands stay in order.
        detours[index] = nil
        (parts[index].from, parts[index].isRepeated) = (command, true)
        return true
    }

    private func onDetour(_ command: CommandIndex) -> SlotDetour.Command {
        .init(place: command, next: commands[command].next, hasOneKey: commands[command].hasOneKey)
    }

    /// Sends the part to the slot's master again, beginning with the first command of the detour.
    private func endDetour(of index: Int) {
        guard !detours.isEmpty, let first = detours.removeValue(forKey: index)?.commands.first else { return }
        (parts[index].from, parts[index].isRepeated) = (first, true)
    }

    private func note(_ reply: NodeReply, of command: CommandIndex, isRepeated: Bool) {
        let number = commands[command].number.map { Int($0) }
        switch reply {
        case .value(let value):
            if let answer = commands[command].answer { values[Int(answer)] = value }
        case .error(let text):
            guard let number, let batch else { return fail(TargetError.reply(text, to: "a request")) }
            let refusal = UnexpectedReply(command: number, kind: .error(text))
            if refusal.isMissingRight(in: batch) { isForbidden = true }
            // A repeated command may find a value that later commands have written to its key.
            if isRepeats(command, isRepeated), text.hasPrefix("WRONGTYPE") { return }
            add(refusal)
        case .outline(let outline):
            guard let number, let batch else { return }
            let kind = UnexpectedReply.Kind(
                outline, to: number, of: batch, isRepeated: isRepeats(command, isRepeated))
            if let kind { add(UnexpectedReply(command: number, kind: kind)) }
        }
    }

    private func isRepeats(_ command: CommandIndex, _ isRepeated: Bool) -> Bool {
        commands[command].mayRepeat && (isRepeated || batch?.mayHaveBeenApplied == true)
    }

    private func add(_ reply: UnexpectedReply) {
        // A command may have been divided and so report the same twice.
        if !unexpectedReplies.contains(reply) { unexpectedReplies.append(reply) }
    }

    private func fail(_ error: TargetError) { if failure == nil { failure = error } }

    private func finish(_ index: Int) {
        guard parts[index].state != .done else { return }
        parts[index].state = .done
        open -= 1
    }

    // MARK: Losses

    /// The number of times a node must name a request as the reason for ending its connection before the request is blamed.
    private static let complaintsUntilBlamed = 2

    /// Notes that a node ended its connection because of a request. Replies arrive in order, so the node's words belong to
    /// the first request without a reply.
    ///
    /// - Returns: the size of the request's longest argument in bytes if the request is to blame, because no node accepts
    ///   it.
    package func complained(about expectation: NodeExpectation) -> Int? {
        guard let command = expectation.command else { return nil }
        complaints[command, default: 0] += 1
        guard complaints[command, default: 0] >= Self.complaintsUntilBlamed else { return nil }
        return commands.longestArgument(of: command)
    }

    /// Notes that the connection which carried a part has ended.
    ///
    /// A part that was done may be open again: a replica that takes the node's place may lack what the node confirmed after
    /// its last mark.
    package func lost(_ index: Int) {
        if parts[index].state == .done { open += 1 }
        parts[index].outstanding = 0
        refused[index] = nil
        interruptedParts.remove(index)
        (detours[index], parts[index].isOnDetour) = (nil, false)
        if parts[index].state == .inDoubt { return }
        if commands.isTransaction(index) {
            parts[index].state = .inDoubt
        } else {
            parts[index].state = .ready
            (parts[index].from, parts[index].isRepeated) = (nil, true)
        }
    }
}
