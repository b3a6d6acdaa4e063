import Wire

/// A command whose keys are in several slots, although they were in one shard of the source.
///
/// The command runs in the slot of the key that it makes, called home. The other keys are copied there under temporary
/// names:
/// | step | where | what |
/// |---|---|---|
/// | fetch | the other slots | `DUMP`, `PEXPIRETIME` of each key |
/// | run | home | in one transaction: `RESTORE` of each key under a temporary name, the command, `UNLINK` of keys that it only read, the mark |
/// | look | home | `DUMP`, `PEXPIRETIME` of the keys that it may have changed |
/// | return | their slots | in one transaction for each slot: `RESTORE` or `UNLINK`, the mark |
/// | (clean up) | home | `UNLINK` of the temporary names, after the position of the batch is stored |
///
/// The flow sends the command after everything before it is confirmed, and sends nothing else until the command is done. So
/// the fetched values are the ones that the command found in the source. If a process ends before `run`, the next one begins
/// with `fetch` again. After `run`, home has the command's mark and the next process continues with `look`, for which it
/// needs the temporary names. So these are only removed after the position is stored, when no process repeats a step any
/// more.
///
/// Pure: it prepares the work of each step, which the caller carries out. Confined to the queue of its flow.
package final class CrossSlotCommand: @unchecked Sendable {  // confined to the queue of the flow that it belongs to
    /// A key in a slot other than home, and its value on the way to home and back.
    private struct RemoteKey {
        let key: [UInt8]
        let slot: KeySlot
        let temporary: [UInt8]
        var isChanged: Bool
        var payload: [UInt8]?
        /// In Unix milliseconds; `nil` if the key has no deadline.
        var deadline: Int64?
    }

    private enum Step { case fetch, run, look, `return`, done }

    private let number: Int
    private let words: [[UInt8]]
    private let batch: CommandBatch
    private let keepsDeadlines: Bool
    private let mark: (FlowStamp) -> SlotMark
    private let markField: MarkField
    package let home: KeySlot
    /// The LSN of the command's record; `nil` inside the snapshot.
    package let lsn: UInt64?
    package let database: UInt32
    private var remoteKeys: [RemoteKey] = []
    /// Slots to which the new values have already been returned.
    private var returned: Set<KeySlot> = []
    private var step = Step.fetch
    /// The limits of the target for one request.
    package var limits = TargetLimits()
    /// Why the command cannot be run: a value that is copied to another slot is one argument of a request and may be too
    /// large.
    package private(set) var refusal: UnexpectedReply?
    /// Whether the command can neither be completed nor run again. An earlier process ran it; since then home has lost the
    /// result, but another slot still has its mark.
    package private(set) var isPartlyApplied = false

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
            if let known = remoteKeys.firstIndex(where: { $0.key == name }) {
                place = known
                remoteKeys[known].isChanged = remoteKeys[known].isChanged || key.isChanged
            } else {
                place = remoteKeys.count
                let temporary = SlotMark.temporaryKey(task: task, flow: flow, number: place)
                remoteKeys.append(
                    RemoteKey(
                        key: name, slot: slot, temporary: SlotTag.key(temporary, in: home), isChanged: key.isChanged))
            }
            renamed[key.place] = remoteKeys[place].temporary
        }
        self.words = renamed
        if isApplied(home) {
            step = .look
            returned = Set(changed.map(\.slot).filter(isApplied))
        } else {
            isPartlyApplied = remoteKeys.contains { isApplied($0.slot) }
        }
    }

    private var changed: [RemoteKey] { remoteKeys.filter(\.isChanged) }

    /// Returns the work of the next step; `nil` if all steps are done.
    package func next(stamp: () -> FlowStamp) -> SlotWork? {
        switch step {
        case .fetch: return asking(remoteKeys) { ($0.slot, $0.key) }
        case .run: return run(stamp())
        case .look:
            if !changed.isEmpty { return asking(changed) { (home, $0.temporary) } }
            step = .done
            return nil
        case .return:
            let work = returnKeys(stamp())
            if !work.isEmpty { return work }
            step = .done
            return nil
        case .done: return nil
        }
    }

    /// Takes the result of a step's work.
    package func finished(_ work: SlotWork) {
        switch step {
        case .fetch:
            for index in remoteKeys.indices { readAnswer(2 * index, of: work, into: index) }
            let sizes = remoteKeys.map { $0.payload?.count ?? 0 }
            let excess = limits.excess(ofArgument: sizes.max() ?? 0, all: sizes.reduce(0, +))
            refusal = excess.map { .init(command: number, kind: .tooLarge($0)) }
            step = refusal == nil ? .run : .done
        case .run: step = .look
        case .look:
            var answer = 0
            for index in remoteKeys.indices where remoteKeys[index].isChanged {
                readAnswer(answer, of: work, into: index)
                answer += 2
            }
            step = .return
        case .return, .done: step = .done
        }
    }

    /// The reply of `PEXPIRETIME` if the key does not exist. The reply for a key without a deadline is -1.
    private static let noKey: Int64 = -2

    private func readAnswer(_ answer: Int, of work: SlotWork, into index: Int) {
        let deadline = work.values[answer + 1]?.int ?? Self.noKey
        // The key may have expired between the two answers.
        remoteKeys[index].payload = deadline == Self.noKey ? nil : work.values[answer]?.bytes
        remoteKeys[index].deadline = deadline < 0 ? nil : deadline
    }

    private func asking(_ remoteKeys: [RemoteKey], _ place: (RemoteKey) -> (KeySlot, [UInt8])) -> SlotWork {
        let work = SlotWork.inquiry()
        for remote in remoteKeys {
            let (slot, key) = place(remote)
            let part = work.addPart(slot)
            work.append(["DUMP".bytes, key], to: part, database: database, mayRepeat: true)
            work.append(["PEXPIRETIME".bytes, key], to: part, database: database, mayRepeat: true)
        }
        work.endDatabases()
        return work
    }

    private func run(_ stamp: FlowStamp) -> SlotWork {
        let work = SlotWork(of: batch, leaving: mark(stamp), in: markField)
        let part = work.addPart(home)
        for remote in remoteKeys {
            let hasDeadline = keepsDeadlines || remote.isChanged
            work.append(
                Self.writing(remote, as: remote.temporary, until: hasDeadline ? remote.deadline : nil), to: part,
                database: database, mayRepeat: false)
        }
        work.append(words, for: number, to: part, database: database, mayRepeat: false)
        let read = remoteKeys.filter { !$0.isChanged }.map(\.temporary)
        if !read.isEmpty { work.append(["UNLINK".bytes] + read, to: part, database: database, mayRepeat: false) }
        work.endDatabases()
        return work
    }

    private func returnKeys(_ stamp: FlowStamp) -> SlotWork {
        let work = SlotWork(of: batch, leaving: mark(stamp), in: markField)
        var parts: [KeySlot: Int] = [:]
        for remote in changed where !returned.contains(remote.slot) {
            let part = parts[remote.slot] ?? work.addPart(remote.slot)
            parts[remote.slot] = part
            work.append(
                Self.writing(remote, as: remote.key, until: remote.deadline), to: part, database: database,
                mayRepeat: false)
        }
        work.endDatabases()
        return work
    }

    /// Removes the temporary names.
    ///
    /// - Returns: `nil` if there are none.
    package func cleanup() -> SlotWork? {
        guard !changed.isEmpty, refusal == nil else { return nil }
        let work = SlotWork.maintenance(changesData: true)
        let part = work.addPart(home)
        for remote in changed {
            work.append(["UNLINK".bytes, remote.temporary], to: part, database: database, mayRepeat: true)
        }
        work.endDatabases()
        return work
    }

    private static func writing(_ remote: RemoteKey, as key: [UInt8], until deadline: Int64?) -> [[UInt8]] {
        guard let payload = remote.payload else { return ["UNLINK".bytes, key] }
        return ["RESTORE".bytes, key, "\(deadline ?? 0)".bytes, payload]
            + ["REPLACE", "ABSTTL"].map(\.bytes)
    }
}
