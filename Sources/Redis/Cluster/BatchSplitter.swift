import Link
import Wire

/// A step of a batch. Each step is completed before the next one begins.
package enum BatchStep {
    /// Commands with all their keys in one slot.
    case slots(SlotWork)
    /// A command that has keys in several slots and cannot be divided.
    case crossing(CrossSlotCommand)
}

/// Divides a flow's batches by slot. Confined to the queue of its flow.
package final class BatchSplitter {
    private let task: String
    private let flow: Int
    private let markField: MarkField
    private let replicationID: String
    private static let noPart: Int32 = -1
    /// The part of each slot in the work that is being filled, or `noPart`.
    private var places = [Int32](repeating: noPart, count: KeySlot.count)

    package init(task: String, flow: Int, replicationID: String) {
        (self.task, self.flow, self.replicationID) = (task, flow, replicationID)
        markField = .ofSlots(task: task, flow: flow)
    }

    /// - Parameters:
    ///   - batch: the batch, sealed and kept. Its checkpoint is left out of the steps.
    ///   - masters: one slot of each master, for commands that concern no key.
    ///   - marks: what an earlier process has applied of the batch.
    ///   - stamp: makes the stamp of each mark that is left.
    package func steps(
        of batch: CommandBatch, masters: [KeySlot], marks: SlotMarks, stamp: () -> FlowStamp
    ) -> [BatchStep] {
        var filling = Filling(batch: batch, masters: masters, marks: marks)
        batch.visitPlaced { command, reader in
            split(command, reader, &filling, stamp: stamp)
        }
        finishWork(&filling, at: batch.progress.nextLSN.map { FlowPosition(lsn: $0) }, stamp: stamp)
        return filling.steps
    }

    private struct Filling {
        let batch: CommandBatch
        let masters: [KeySlot]
        let marks: SlotMarks
        var steps: [BatchStep] = []
        /// The record that is being divided, and the number of its commands so far that cross slots.
        var record: UInt64?
        var crossings: UInt32 = 0
        /// Commands for the next `SlotWork`, with their slots.
        var pending: [Pending] = []
        var database: UInt32 = 0

        /// - Parameters:
        ///   - words: the command as it is sent to this slot; `nil` to send it as the batch encodes it.
        ///   - mayRepeat: whether the command may be repeated; `nil` to take that from the command.
        mutating func add(
            _ command: Command, in slot: KeySlot, _ words: [[UInt8]]? = nil, mayRepeat: Bool? = nil
        ) {
            if let position = command.position, marks.cover(position, in: slot) { return }
            let placed = command.placed
            pending.append(
                Pending(
                    slot: slot, number: placed.number, range: words == nil ? placed.range : nil, words: words ?? [],
                    database: database, mayRepeat: mayRepeat ?? command.mayRepeat,
                    hasOneKey: command.kind.hasOneKey(placed.arguments)))
        }
    }

    private struct Pending {
        var slot: KeySlot
        var number: Int
        /// Where the batch encodes the command; `nil` if `words` are the command.
        var range: Range<Int>?
        var words: [[UInt8]] = []
        var database: UInt32
        var mayRepeat: Bool
        var hasOneKey: Bool
    }

    /// A command with its place in the stream.
    private struct Command {
        let placed: CommandBatch.Placed
        let kind: ClusterCommand
        /// The position before the command, with its step within the record.
        var position: FlowPosition?
        let mayRepeat: Bool
    }

    private func split(
        _ placed: CommandBatch.Placed, _ reader: ByteReader, _ filling: inout Filling, stamp: () -> FlowStamp
    ) {
        var ahead = ByteReader(reader.bytes, offset: reader.offset)
        guard let word = ahead.readBulkArgument() else { return }
        let name = CommandName(word)
        if name == "SELECT" {
            if let number = ahead.readBulkArgument() { filling.database = UInt32(clamping: parseInteger(number) ?? 0) }
            return
        }
        let kind = ClusterCommand.named(name)
        var command = Command(
            placed: placed, kind: kind, position: placed.position,
            mayRepeat: kind.mayRepeat(reader, placed.arguments))
        if placed.position?.lsn != filling.record { (filling.record, filling.crossings) = (placed.position?.lsn, 0) }
        command.position?.step = 2 * filling.crossings
        switch kind.keys {
        case .none: for slot in filling.masters { filling.add(command, in: slot) }
        case .at(let place):
            for _ in 1..<place { _ = ahead.readBulkArgument() }
            // A command without its key is refused by every server, so any node will do.
            guard place < placed.arguments, let key = ahead.readBulkArgument() else {
                return filling.add(command, in: filling.masters.first ?? KeySlot(0))
            }
            filling.add(command, in: KeySlot(of: key))
        default:
            divideByKeys(command, name, Self.words(reader, placed.arguments), &filling, stamp: stamp)
        }
    }

    /// Sends a command that may have several keys to their common slot, divides it, or makes it a step that crosses slots.
    private func divideByKeys(
        _ command: Command, _ name: CommandName, _ words: [[UInt8]], _ filling: inout Filling,
        stamp: () -> FlowStamp
    ) {
        let keys = command.kind.keys(of: words)
        let slots = keys.map { KeySlot(of: words[$0.place]) }
        if command.kind.keys == .script, words.count > 2, words[1].isText(CommandBatch.deadlineScript) {
            for (slot, words) in Self.dividedDeadlines(words, slots) {
                filling.add(command, in: slot, words, mayRepeat: true)
            }
            return
        }
        guard let first = slots.first, slots.contains(where: { $0 != first }) else {
            return filling.add(command, in: slots.first ?? filling.masters.first ?? KeySlot(0))
        }
        guard case .every(let step) = command.kind.keys else {
            return cross(command, words, keys, &filling, stamp: stamp)
        }
        var groups: [(slot: KeySlot, words: [[UInt8]])] = []
        // The journal contains an MSETNX only if it has set its keys.
        let name = name == "MSETNX" ? "MSET".bytes : words[0]
        for (key, slot) in zip(keys, slots) {
            let arguments = words[key.place..<min(key.place + step, words.count)]
            if let place = groups.firstIndex(where: { $0.slot == slot }) {
                groups[place].words += arguments
            } else {
                groups.append((slot, [name] + arguments))
            }
        }
        for group in groups { filling.add(command, in: group.slot, group.words) }
    }

    /// Makes a step of a command that cannot be divided.
    private func cross(
        _ command: Command, _ words: [[UInt8]], _ keys: [ClusterCommand.Key], _ filling: inout Filling,
        stamp: () -> FlowStamp
    ) {
        var position = command.position
        filling.crossings += 1
        position?.step += 1
        finishWork(&filling, at: position, stamp: stamp)
        let crossing = CrossSlotCommand(
            words, keys: keys, number: command.placed.number, batch: filling.batch, task: task, flow: flow,
            lsn: position?.lsn, database: filling.database, keepsDeadlines: command.kind.keepsDeadlines,
            mark: { [replicationID, position] in
                SlotMark(
                    replicationID: replicationID,
                    position: position.map { FlowPosition(lsn: $0.lsn, step: $0.step + 1) }, stamp: $0)
            },
            isApplied: { [marks = filling.marks, position] slot in position.map { marks.cover($0, in: slot) } ?? false }
        )
        filling.steps.append(.crossing(crossing))
    }

    /// Divides the script that changes deadlines into one call for each slot.
    ///
    /// The script compares each deadline with the old one before it changes it, so it may be repeated.
    private static func dividedDeadlines(_ words: [[UInt8]], _ slots: [KeySlot]) -> [(KeySlot, [[UInt8]])] {
        let (count, margins) = (slots.count, words[(3 + slots.count)...])
        guard margins.count > count else { return [] }
        var groups: [KeySlot: [Int]] = [:]
        for (index, slot) in slots.enumerated() { groups[slot, default: []].append(index) }
        return groups.map { slot, indices in
            let head = [words[0], words[1], "\(indices.count)".bytes]
            let deadlines = words.count - count
            return (
                slot,
                head + indices.map { words[3 + $0] } + margins.dropLast(count) + indices.map { words[deadlines + $0] }
            )
        }
    }

    private func finishWork(_ filling: inout Filling, at position: FlowPosition?, stamp: () -> FlowStamp) {
        guard !filling.pending.isEmpty else { return }
        let mark = SlotMark(replicationID: replicationID, position: position, stamp: stamp())
        let work = SlotWork(of: filling.batch, leaving: mark, in: markField)
        for pending in filling.pending {
            let index = Int(pending.slot.number)
            if places[index] == Self.noPart { places[index] = Int32(work.addPart(pending.slot)) }
            if let range = pending.range {
                work.append(
                    pending.number, range, to: Int(places[index]), database: pending.database,
                    mayRepeat: pending.mayRepeat, hasOneKey: pending.hasOneKey)
            } else {
                work.append(
                    pending.words, for: pending.number, to: Int(places[index]), database: pending.database,
                    mayRepeat: pending.mayRepeat)
            }
        }
        work.endDatabases()
        for pending in filling.pending { places[Int(pending.slot.number)] = Self.noPart }
        filling.pending.removeAll(keepingCapacity: true)
        filling.steps.append(.slots(work))
    }

    /// - Parameter reader: a reader at the first argument.
    private static func words(_ reader: ByteReader, _ count: Int) -> [[UInt8]] {
        var reader = ByteReader(reader.bytes, offset: reader.offset)
        return (0..<count).compactMap { _ in reader.readBulkArgument()?.withUnsafeBytes { Array($0) } }
    }
}

extension ClusterCommand {
    /// Whether the key that the command makes gets the deadline of the key that it reads.
    var keepsDeadlines: Bool { keys == .copy }
}

extension CommandBatch {
    /// A command that is too large to keep in memory. It is the only command of a batch that is being built.
    package struct Long {
        package var number: Int
        package var database: UInt32
        package var key: [UInt8]
        /// The encoded size.
        package var bytes: Int
        package var mayRepeat: Bool
    }

    /// Drops everything before the long command, so that it is the next to be written.
    ///
    /// - Returns: `nil` if other commands precede it or some of it has been written.
    package func takeLongCommand() -> Long? {
        guard isRetained, isInCommand, let longCommand, longCommand.index < 2 else { return nil }
        var start = 15  // MULTI
        let long = bytes.withUnsafeBytes { memory -> Long? in
            var reader = ByteReader(RawSpan(_unsafeBytes: memory), offset: start)
            var database: UInt32 = 0
            // At most a SELECT precedes it.
            for _ in 0..<longCommand.index {
                for _ in 0..<(reader.readDecimalLine(after: UInt8(ascii: "*")) ?? 0) {
                    guard let word = reader.readBulkArgument() else { continue }
                    database = parseInteger(word).map { UInt32(clamping: $0) } ?? 0
                }
            }
            start = reader.offset
            guard let count = reader.readDecimalLine(after: UInt8(ascii: "*")), count > 2 else { return nil }
            let inside = ByteReader(reader.bytes, offset: reader.offset)
            guard let word = reader.readBulkArgument(), let key = reader.readBulkArgument()
            else { return nil }
            for _ in 2..<(count - 1) { _ = reader.readBulkArgument() }
            guard let length = reader.readDecimalLine(after: UInt8(ascii: "$")) else { return nil }
            return Long(
                number: longCommand.index, database: database, key: Array(copying: key),
                bytes: reader.offset - start + length + 2,
                mayRepeat: ClusterCommand.named(CommandName(word)).mayRepeat(inside, count))
        }
        guard long != nil else { return nil }
        try? write { (_) throws(SystemError) in start }
        return long
    }

    /// A command of the batch, and its place in it and in the stream.
    struct Placed {
        var number: Int
        /// Where the command is encoded in `bytes`.
        var range: Range<Int>
        /// The number of arguments, including the name.
        var arguments: Int
        /// The position before the command's record; `nil` inside the snapshot, and for commands outside the stream.
        var position: FlowPosition?
    }

    /// Calls `body` with each command except the checkpoint's, and a reader at its first argument.
    func visitPlaced(_ body: (Placed, ByteReader) -> Void) {
        precondition(isRetained && runs.isEmpty, "only a batch that is kept can be divided")
        let count = dataCommandCount
        let first = progress.nextLSN.map { $0 - UInt64(recordEnds.count) }
        var record = 0
        var start = 15  // MULTI
        bytes.withUnsafeBytes { memory in
            var reader = ByteReader(RawSpan(_unsafeBytes: memory), offset: start)
            for number in 0..<count {
                guard let arguments = reader.readDecimalLine(after: UInt8(ascii: "*")) else { return }
                let inside = ByteReader(reader.bytes, offset: reader.offset)
                for _ in 0..<arguments { _ = reader.readBulkArgument() }
                while record < recordEnds.count, Int(recordEnds[record]) <= number { record += 1 }
                let position = isOutsideStream(number) ? nil : first.map { FlowPosition(lsn: $0 + UInt64(record)) }
                body(
                    Placed(
                        number: number, range: start..<reader.offset, arguments: arguments, position: position),
                    inside)
                start = reader.offset
            }
        }
    }
}
