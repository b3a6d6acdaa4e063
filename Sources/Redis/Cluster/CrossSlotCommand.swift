import Wire

/// A command whose keys are in several slots, although they were in one shard of the source. It is run in the slot of the key
/// that it makes, with the others brought there under names of our own:
///
/// | step | where | what |
/// |---|---|---|
/// | fetch | the other slots | `DUMP`, `PEXPIRETIME` of each key |
/// | run | home | in one transaction: `RESTORE` of each under a temporary name, the command, `UNLINK` of those that it only read, the mark |
/// | look | home | `DUMP`, `PEXPIRETIME` of those that it may have changed |
/// | return | their slots | in one transaction each: `RESTORE` or `UNLINK`, the mark |
/// | (tidy) | home | `UNLINK` of the temporary names, once the position of the batch is stored |
///
/// Nothing that comes later in the flow is sent before it is done, and everything earlier is: so what is fetched is of the
/// command's own time. Interrupted before `run` it begins anew; after it, home's mark says so, and it goes on with `look`. That
/// is why the temporary names stay until nobody does any of it again.
///
/// Pure: it makes the work of each step, which somebody else does. Confined to the queue of its flow.
package final class CrossSlotCommand: @unchecked Sendable {  // confined to the queue of the flow that it belongs to
    /// A key that is not at home.
    private struct Visitor {
        let key: [UInt8]
        let slot: KeySlot
        let temporary: [UInt8]
        var isChanged: Bool
        var payload: [UInt8]?
        /// Unix milliseconds; -1: none.
        var deadline: Int64 = -1
    }

    private enum Step { case fetch, run, look, `return`, done }

    private let number: Int
    private let words: [[UInt8]]
    private let batch: CommandBatch
    private let keepsDeadlines: Bool
    private let mark: (FlowStamp) -> SlotMark
    private let markField: MarkField
    package let home: KeySlot
    /// Of its record; `nil` inside the snapshot.
    package let lsn: UInt64?
    package let database: UInt32
    private var visitors: [Visitor] = []
    /// Slots where what they get is there already.
    private var returned: Set<KeySlot> = []
    private var step = Step.fetch
    /// What the target takes in one request.
    package var limits = TargetLimits()
    /// Why it has not been done: a value that is brought to another slot is one argument of a request.
    package private(set) var refusal: BatchOutcome.Irregularity?
    /// What has come of it before was lost at home, and not elsewhere: it cannot be done again.
    package private(set) var isTorn = false

    init(
        _ words: [[UInt8]], keys: [ClusterCommand.Key], number: Int, batch: CommandBatch, task: String, flow: Int,
        lsn: UInt64?, database: UInt32, keepsDeadlines: Bool, mark: @escaping (FlowStamp) -> SlotMark,
        isApplied: (KeySlot) -> Bool
    ) {
        self.number = number
        self.batch = batch
        (self.lsn, self.database) = (lsn, database)
        self.keepsDeadlines = keepsDeadlines
        self.mark = mark
        markField = .ofSlots(task: task, flow: flow)
        let made = keys.last { $0.isChanged } ?? keys[0]
        home = KeySlot(of: words[made.place])
        var renamed = words
        for key in keys {
            let name = words[key.place]
            let slot = KeySlot(of: name)
            if slot == home { continue }
            let place: Int
            if let known = visitors.firstIndex(where: { $0.key == name }) {
                place = known
                visitors[known].isChanged = visitors[known].isChanged || key.isChanged
            } else {
                place = visitors.count
                let temporary = SlotMark.temporaryKey(task: task, flow: flow, number: place)
                visitors.append(
                    Visitor(
                        key: name, slot: slot, temporary: SlotTag.key(temporary, in: home), isChanged: key.isChanged))
            }
            renamed[key.place] = visitors[place].temporary
        }
        self.words = renamed
        if isApplied(home) {
            step = .look
            returned = Set(changed.map(\.slot).filter(isApplied))
        } else {
            isTorn = visitors.contains { isApplied($0.slot) }
        }
    }

    private var changed: [Visitor] { visitors.filter(\.isChanged) }

    /// The work of the next step; `nil`: all is done.
    package func next(stamp: () -> FlowStamp) -> SlotWork? {
        switch step {
        case .fetch: return asking(visitors) { ($0.slot, $0.key) }
        case .run: return run(stamp())
        case .look:
            if !changed.isEmpty { return asking(changed) { (home, $0.temporary) } }
            step = .done
            return nil
        case .return:
            let work = goHome(stamp())
            if !work.isEmpty { return work }
            step = .done
            return nil
        case .done: return nil
        }
    }

    /// A step's work is done.
    package func finished(_ work: SlotWork) {
        switch step {
        case .fetch:
            for index in visitors.indices { take(work, 2 * index, into: index) }
            let sizes = visitors.map { $0.payload?.count ?? 0 }
            let excess = limits.excess(ofArgument: sizes.max() ?? 0, all: sizes.reduce(0, +))
            refusal = excess.map { .init(command: number, kind: .tooLarge($0)) }
            step = refusal == nil ? .run : .done
        case .run: step = .look
        case .look:
            var answer = 0
            for index in visitors.indices where visitors[index].isChanged {
                take(work, answer, into: index)
                answer += 2
            }
            step = .return
        case .return, .done: step = .done
        }
    }

    private func take(_ work: SlotWork, _ answer: Int, into index: Int) {
        visitors[index].payload = work.values[answer]?.bytes
        visitors[index].deadline = work.values[answer + 1]?.int ?? -2
        // It has ended between the two answers.
        if visitors[index].deadline == -2 { visitors[index].payload = nil }
    }

    private func asking(_ visitors: [Visitor], _ place: (Visitor) -> (KeySlot, [UInt8])) -> SlotWork {
        let work = SlotWork.inquiry()
        for visitor in visitors {
            let (slot, key) = place(visitor)
            let part = work.addPart(slot)
            work.append([Array("DUMP".utf8), key], to: part, database: database, mayRepeat: true)
            work.append([Array("PEXPIRETIME".utf8), key], to: part, database: database, mayRepeat: true)
        }
        work.endDatabases()
        return work
    }

    private func run(_ stamp: FlowStamp) -> SlotWork {
        let work = SlotWork(of: batch, leaving: mark(stamp), in: markField)
        let part = work.addPart(home)
        for visitor in visitors {
            let hasDeadline = keepsDeadlines || visitor.isChanged
            work.append(
                Self.writing(visitor, as: visitor.temporary, until: hasDeadline ? visitor.deadline : -1), to: part,
                database: database, mayRepeat: false)
        }
        work.append(words, for: number, to: part, database: database, mayRepeat: false)
        let read = visitors.filter { !$0.isChanged }.map(\.temporary)
        if !read.isEmpty { work.append([Array("UNLINK".utf8)] + read, to: part, database: database, mayRepeat: false) }
        work.endDatabases()
        return work
    }

    private func goHome(_ stamp: FlowStamp) -> SlotWork {
        let work = SlotWork(of: batch, leaving: mark(stamp), in: markField)
        var parts: [KeySlot: Int] = [:]
        for visitor in changed where !returned.contains(visitor.slot) {
            let part = parts[visitor.slot] ?? work.addPart(visitor.slot)
            parts[visitor.slot] = part
            work.append(
                Self.writing(visitor, as: visitor.key, until: visitor.deadline), to: part, database: database,
                mayRepeat: false)
        }
        work.endDatabases()
        return work
    }

    /// - Returns: `nil`: there is nothing to be removed.
    package func tidy() -> SlotWork? {
        guard !changed.isEmpty, refusal == nil else { return nil }
        let work = SlotWork.maintenance(changesData: true)
        let part = work.addPart(home)
        for visitor in changed {
            work.append([Array("UNLINK".utf8), visitor.temporary], to: part, database: database, mayRepeat: true)
        }
        work.endDatabases()
        return work
    }

    private static func writing(_ visitor: Visitor, as key: [UInt8], until deadline: Int64) -> [[UInt8]] {
        guard let payload = visitor.payload else { return [Array("UNLINK".utf8), key] }
        return [Array("RESTORE".utf8), key, Array("\(max(deadline, 0))".utf8), payload]
            + ["REPLACE", "ABSTTL"].map { Array($0.utf8) }
    }
}
