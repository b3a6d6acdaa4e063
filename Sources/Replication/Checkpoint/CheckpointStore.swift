import Base
import Dispatch
import Dragonfly
import Link
import Logging
import Redis

/// Stores what a task must know at its next session, in the target or in a file, and moves it from one to the other when
/// the configuration changes.
///
/// The store lives as long as the process, so it still knows values that could not be written. It has its own queue,
/// because a disk may be slow.
actor CheckpointStore {
    /// What the stores hold when a session begins.
    struct Opening: Sendable {
        /// The fields of the target's hash.
        var fields: [String: String] = [:]
        var position: ResumePoint?
        /// There are positions of flows, perhaps not of all.
        var hasPositions = false
        /// Some records after the position may have been applied.
        var mayRepeat = false
        var databases: Set<UInt32>?
        /// See `TaskRecord`.
        var filling: [UInt32: Int] = [:]
        /// See `TaskRecord`; from the store that has the position.
        var marked: Set<UInt32> = []
        var isReconciling = false
        /// The replication id of the source whose keys the target holds; `nil` if unknown.
        var source: String?
        /// A policy has stopped the task.
        var isStopped = false
        /// Clients now write to the target, no longer to the source.
        var isCutOver = false
        /// The task has written to this target before.
        var isKnown = false
        /// A cluster has lost the checkpoint, but perhaps not all of the task's data. What the task has filled is known
        /// from elsewhere.
        var isRecalled = false
        /// Why there is no position although the task has written here before.
        var reason: String?
        /// What the previous session found about the two sides' data sets.
        var note: DataSetNote?
    }

    enum Beginning: Sendable {
        case fullSync(replicationID: String, isReconciling: Bool)
        case continuing(ResumePoint)
    }

    private let executor = QueueExecutor(label: "df2redis.checkpoint")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let settings: CheckpointSettings
    private let key: CheckpointKey
    private let registry: TaskRegistry
    private let file: CheckpointFile?
    private let logger: Logger
    private var record: CheckpointRecord
    /// The source of the current full sync. It becomes the record's source when the old keys are removed.
    private var nextSource: String?
    /// The record describes a session of this process.
    private var isRecordCurrent = false
    private var isFileFailing = false
    private var isFirstOpening = true
    private let isStoring = Lock(false)

    init(task: String, settings: CheckpointSettings, registry: TaskRegistry, logger: Logger) {
        self.registry = registry
        self.settings = settings
        self.logger = logger
        key = CheckpointKey(task: task, prefix: settings.keyPrefix)
        file = settings.path.map { CheckpointFile(path: $0, task: task) }
        record = CheckpointRecord(task: task)
    }

    private var isInFile: Bool { settings.store != .target }

    // MARK: The beginning of a session

    /// Reads what the stores hold.
    ///
    /// - Parameters:
    ///   - fields: the fields of the target's hash.
    ///   - held: the target's databases that hold keys; 0 only if it has a `DatabaseMark`.
    ///   - control: queried in a cluster, if a file has a position, and if the hash is missing although there are keys.
    /// - Throws: `TargetError`, `ReplicationError`.
    func open(
        _ fields: [String: String], held: [UInt32], on control: TargetControl, targetRunID: String
    ) async throws -> Opening {
        var opening = Opening(fields: fields)
        var fromFile: Opening?
        if let file { fromFile = try await readFile(file, targetRunID: targetRunID, on: control) }
        // A position in the file means that the task has just moved it, and that the target has lost nothing.
        if !isInFile, fromFile?.isKnown != true { try await recall(&opening, held: held, on: control) }
        let inTarget = opening.position
        if let fromFile {
            opening.add(fromFile)
            // If both stores have a position, the task crashed while it switched stores.
            if isInFile, fromFile.isKnown {
                (opening.position, opening.mayRepeat, opening.reason) =
                    (fromFile.position, fromFile.mayRepeat, fromFile.reason)
                (opening.note, opening.source, opening.marked) = (fromFile.note, fromFile.source, fromFile.marked)
            } else if inTarget == nil, !opening.isStopped {
                (opening.position, opening.mayRepeat) = (fromFile.position, fromFile.mayRepeat)
                opening.marked = fromFile.marked
            }
            // Database 0 has a mark key of its own only if a file keeps the position. Here the hash kept it, so there is no
            // such key.
            if isInFile, !fromFile.isKnown { opening.marked.remove(0) }
        }
        if isFirstOpening, !settings.isEnabled, opening.position != nil {
            opening.position = nil
            opening.reason = "checkpoint.enabled is false"
        }
        isFirstOpening = false
        if let mark = settings.resyncMark, mark.isSet {
            opening.position = nil
            opening.reason =
                "the task was cut over, which has been taken back: the target may hold what clients have written there (\(mark.path))"
        }
        return opening
    }

    /// Recovers what the task has filled if the target has lost the checkpoint and not all keys of the task: database 0 was
    /// emptied or swapped, the master of a cluster that has the checkpoint has lost its data, or flows have written after the
    /// loss. This process knows it, or the task's line in a cluster's list of tasks, or at least marks or positions show it.
    private func recall(_ opening: inout Opening, held: [UInt32], on control: TargetControl) async throws {
        guard opening.databases == nil, opening.filling.isEmpty else { return }
        if isRecordCurrent {
            opening.databases = record.databases
            opening.filling = TaskRecord.filling(record.filling)
            opening.source = record.source
            opening.isReconciling = opening.isReconciling || record.isReconciling
        } else if control.isInCluster, let filled = registry.filledBefore {
            opening.databases = filled
        } else if try await hasTraces(opening, held: held, on: control) {
            opening.isReconciling = true
        }
        guard opening.databases != nil || !opening.filling.isEmpty || opening.isReconciling else { return }
        // Any positions that exist now were written by idle flows afterwards.
        (opening.position, opening.isRecalled) = (nil, true)
    }

    /// Whether the target holds keys that an earlier process of the task has written since its first full sync.
    private func hasTraces(_ opening: Opening, held: [UInt32], on control: TargetControl) async throws -> Bool {
        if control.isInCluster { return try await control.hasStableMarks(of: key.task) }
        if opening.hasPositions { return true }
        if opening.isKnown || held.isEmpty { return false }
        // Database 0 has a mark of its own only after SWAPDB.
        return try await !control.marks(of: key.task, in: Set(held), with: key.name).marks.isEmpty
    }

    private func readFile(
        _ file: CheckpointFile, targetRunID: String, on control: TargetControl
    ) async throws -> Opening {
        var opening = Opening()
        var found = record
        if !isRecordCurrent || !isInFile {
            switch try file.read() {
            case .missing: return opening
            case .record(let record): found = record
            case .damaged(let reason):
                guard isInFile else { return opening }
                // The task has written here before. This full sync will show which databases it has filled.
                (opening.isKnown, opening.isReconciling) = (true, true)
                opening.reason = "the checkpoint file \(file.path) is damaged: \(reason)"
                return opening
            case .foreign(let reason):
                guard isInFile else { return opening }
                throw ReplicationError(
                    .configuration,
                    "checkpoint.path \(file.path) cannot be used: \(reason); name another file or move it away")
            }
        }
        opening.isKnown = true
        opening.databases = found.databases
        opening.filling = TaskRecord.filling(found.filling)
        opening.marked = found.marked ?? []
        opening.isReconciling = found.isReconciling
        opening.source = found.source ?? (found.isReconciling ? nil : found.replicationID)
        opening.isStopped = found.stopped != nil
        opening.note = DataSetNote(found.counts)
        guard let id = found.replicationID, !found.nextLSNs.isEmpty else { return opening }
        if found.targetRunID != targetRunID {
            opening.reason =
                "the target is another server than the checkpoint file's, or has been restarted, and a file cannot tell "
                + "what it has lost"
        } else if found.databases?.isEmpty == false, try await isEmpty(control) {
            opening.reason = "the target is empty"
        } else {
            opening.position = ResumePoint(replicationID: id, nextLSNs: found.nextLSNs.map { LSN($0) })
            opening.mayRepeat = !found.isExact
        }
        return opening
    }

    /// Whether the target holds no keys except df2redis' own.
    private func isEmpty(_ control: TargetControl) async throws -> Bool {
        try await control.isEmpty(excluding: ReservedKeys(checkpoint: key.name, isInCluster: control.isInCluster))
    }

    /// Notes what the session will do, before any of it is applied, and removes what the other store holds.
    ///
    /// Fields that the target already has are not written again.
    func begin(
        _ beginning: Beginning, _ opening: Opening, targetRunID: String, on control: TargetControl
    ) async throws {
        record.targetRunID = targetRunID
        record.databases = opening.databases
        record.filling = opening.filling.isEmpty ? nil : TaskRecord.text(opening.filling)
        record.isReconciling = opening.isReconciling
        let databases = (opening.databases ?? []).union(opening.filling.keys)
        if opening.databases != nil { registry.markFull() }
        if registry.learn(databases) { try await control.register(databases, in: registry) }
        let fields = opening.fields
        switch beginning {
        case .fullSync(let replicationID, let isReconciling):
            record.isReconciling = isReconciling
            record.source = isReconciling ? opening.source : replicationID
            nextSource = replicationID
            record.counts = nil
            record.marked = nil
            clearPosition()
        case .continuing(let position):
            record.source = position.replicationID
            record.marked = opening.marked
            setPosition(position, isExact: false)
        }
        record.stopped = nil
        isRecordCurrent = true
        guard isInFile else {
            try await beginInTarget(beginning, over: fields, on: control)
            try file?.removeIfOurs()
            removeResyncMark(beginning)
            return
        }
        let isWritten = try writeOrRemove()
        removeResyncMark(beginning)
        guard !fields.isEmpty else { return }
        if isWritten {
            try await control.update(key.name, set: [:], remove: fields.keys.filter { $0 != ImportMode.field.name })
        } else {
            try await control.update(key.name, set: [:], remove: fields.keys.filter(CheckpointKey.isOfMark))
        }
    }

    /// Removes the resync mark when a full sync begins: there is no position left that the mark must block.
    private func removeResyncMark(_ beginning: Beginning) {
        guard case .fullSync = beginning, let mark = settings.resyncMark, mark.isSet else { return }
        do throws(SystemError) { try mark.remove() } catch {
            logger.warning("the next start makes a full sync too, since a file cannot be removed: \(error)")
        }
    }

    /// - Parameter found: the fields that the task's key holds.
    private func beginInTarget(
        _ beginning: Beginning, over found: [String: String], on control: TargetControl
    ) async throws {
        var (fields, obsolete): ([String: String], [String]) = ([:], [])
        if let databases = record.databases { fields[TaskRecord.databasesField] = TaskRecord.text(databases) }
        if let filling = record.filling { fields[TaskRecord.fillingField] = filling }
        for (field, value) in TaskRecord.markFields(record.marked ?? []) { fields[field] = value }
        // Before the first full sync there are no fields yet; it notes the source together with the first database.
        if !found.isEmpty, let source = record.source { fields[TaskRecord.sourceField] = source }
        switch beginning {
        case .fullSync:
            obsolete = [CheckpointKey.stopped.field, DataSetNote.field] + found.keys.filter(TaskRecord.isOfMark)
            if record.isReconciling {
                fields[TaskRecord.reconcileField] = "pending"
            } else {
                obsolete.append(TaskRecord.reconcileField)
            }
            obsolete += found.keys.filter(CheckpointKey.isOfMark)
        case .continuing(let position):
            for (index, next) in position.nextLSNs.enumerated() {
                fields[key.field(FlowID(index))] = position.text(next)
            }
        }
        try await control.update(
            key.name, set: fields.filter { found[$0.key] != $0.value }, remove: obsolete.filter { found[$0] != nil })
    }

    // MARK: In the course of a session

    /// Notes the databases that an unfinished full sync begins to fill, before it does.
    ///
    /// - Throws: `TargetError`.
    func note(filling: [UInt32: Int], marking new: Set<UInt32>, on control: TargetControl) async throws {
        let text = TaskRecord.text(filling)
        record.filling = text
        let source = record.source.map { [TaskRecord.sourceField, $0] } ?? []
        let note = ["HSET", key.name, TaskRecord.fillingField, text] + source
        try await register(Set(filling.keys), marking: new, with: [note], on: control)
    }

    /// Gives marks to databases that the task fills. A target loses them when it is emptied (`DatabaseMark`).
    ///
    /// - Throws: `TargetError`.
    func mark(_ new: Set<UInt32>, on control: TargetControl) async throws {
        try await register([], marking: new, with: [], on: control)
    }

    /// Writes the databases into the list of tasks, gives databases their marks, and notes both in the store that has the
    /// position.
    ///
    /// - Parameter notes: commands for the target's hash, used if the hash has the position.
    private func register(
        _ databases: Set<UInt32>, marking new: Set<UInt32>, with notes: [[String]], on control: TargetControl
    ) async throws {
        var requests = isInFile ? [] : notes
        if !isInFile, !new.isEmpty {
            requests.append(["HSET", key.name] + TaskRecord.markFields(new).flatMap { [$0.field, $0.value] })
        }
        // The hash is written in the same transaction as the marks that it names, a file after them.
        try await control.register(
            databases, in: registry, marking: isInFile ? new : new.subtracting([0]), of: key.task, with: requests,
            at: key.name)
        if !new.isEmpty { record.marked = (record.marked ?? []).union(new) }
        if isInFile { writeIfPossible() }
    }

    /// Notes the databases that the task fills.
    ///
    /// - Returns: `false` if the earlier note is gone. Then nothing is written, because a new note would hide the loss.
    /// - Throws: `TargetError`.
    func note(
        _ databases: Set<UInt32>, isFirst: Bool, marking new: Set<UInt32>, on control: TargetControl
    ) async throws -> Bool {
        registry.markFull()
        if !isInFile, !isFirst {
            try await control.register(databases, in: registry)
            if TaskRecord(try await control.hash(key.name)).databases == nil { return false }
        }
        record.databases = databases
        record.filling = nil
        let source = record.source.map { [TaskRecord.sourceField, $0] } ?? []
        let requests = [
            ["HSET", key.name, TaskRecord.databasesField, TaskRecord.text(databases)] + source,
            ["HDEL", key.name, TaskRecord.fillingField],
        ]
        try await register(databases, marking: new, with: requests, on: control)
        return true
    }

    /// Writes the hash again after the target has evicted it. Fields that were written to it since then stay.
    ///
    /// - Parameter fields: the fields in the order of writing. The databases, which make the hash a checkpoint, must follow
    ///   the positions.
    /// - Throws: `TargetError`.
    func restore(_ fields: [(field: String, value: String)], on control: TargetControl) async throws {
        for (field, value) in fields { try await control.setIfMissing(key.name, field: field, value) }
    }

    /// Stores the note about the two sides' data sets for the next session.
    ///
    /// - Throws: `TargetError`.
    func note(_ note: DataSetNote, on control: TargetControl) async throws {
        record.counts = note.text
        guard !isInFile else { return writeIfPossible() }
        try await control.update(key.name, set: [DataSetNote.field: note.text], remove: [])
    }

    /// Notes that the keys which the source no longer has are removed.
    func noteReconciled(on control: TargetControl) async throws {
        record.isReconciling = false
        record.source = nextSource
        guard !isInFile else { return writeIfPossible() }
        try await control.update(
            key.name, set: nextSource.map { [TaskRecord.sourceField: $0] } ?? [:], remove: [TaskRecord.reconcileField])
    }

    /// Notes a stop by policy: the target differs from now on, and there is no position to resume at.
    func noteStopped(on control: TargetControl) async {
        clearPosition()
        record.stopped = CheckpointKey.stopped.value
        guard !isInFile else { return _ = try? writeOrRemove() }
        do {
            let positions = try await control.hash(key.name).keys.filter(CheckpointKey.isOfMark)
            try await control.update(
                key.name, set: [CheckpointKey.stopped.field: CheckpointKey.stopped.value], remove: positions)
        } catch {
            logger.warning("cannot record in the target that the task has stopped: \(error)")
        }
    }

    /// Notes the cut-over: clients write to the target from now on, and no task of this source may overwrite their writes.
    /// The note is in the target even if a file keeps the position.
    ///
    /// - Parameter isComplete: everything that was received has been applied.
    func noteCutOver(isComplete: Bool, on control: TargetControl) async {
        do {
            let note = CutOverNote(seconds: WallClock.milliseconds() / 1000, isComplete: isComplete)
            try await control.update(key.name, set: [CheckpointKey.cutOverField: note.text], remove: [])
        } catch {
            logger.warning("cannot record in the target that the task has been cut over: \(error)")
        }
    }

    /// Removes the position. What the task has filled stays noted; otherwise a later full sync would never remove keys that
    /// the source has deleted meanwhile.
    ///
    /// - Parameter flowCount: the number of flows that have written positions; `nil` if unknown.
    func forgetPosition(of flowCount: Int? = nil, on control: TargetControl) async {
        clearPosition()
        guard !isInFile else { return _ = try? writeOrRemove() }
        do {
            let known = flowCount.map { (0..<$0).flatMap { key.fields(of: FlowID($0)) } }
            let positions: [String]
            if let known {
                positions = known
            } else {
                positions = try await control.hash(key.name).keys.filter(CheckpointKey.isOfMark)
            }
            try await control.update(key.name, set: [:], remove: positions)
        } catch {
            logger.warning("cannot remove the positions from the target: \(error)")
        }
    }

    /// Stores a position in the file. Does nothing if the target keeps the position.
    ///
    /// - Parameter isExact: nothing after the position has been applied.
    func store(_ position: ResumePoint, isExact: Bool) {
        guard isInFile else { return }
        setPosition(position, isExact: isExact)
        writeIfPossible()
    }

    /// Like `store`, but does not wait. Skipped if the previous call has not started to write yet.
    nonisolated func storeSoon(_ position: ResumePoint) {
        let isBusy = isStoring.withLock { isStoring in
            defer { isStoring = true }
            return isStoring
        }
        if isBusy { return }
        executor.queue.async {
            self.isStoring.withLock { $0 = false }
            self.assumeIsolated { $0.store(position, isExact: false) }
        }
    }

    // MARK: The file

    private func setPosition(_ position: ResumePoint, isExact: Bool) {
        record.replicationID = position.replicationID
        record.nextLSNs = position.nextLSNs.map(\.value)
        record.isExact = isExact
    }

    private func clearPosition() {
        record.replicationID = nil
        record.nextLSNs = []
        record.isExact = false
    }

    private func writeIfPossible() {
        guard let file else { return }
        do throws(SystemError) {
            try file.write(record)
            if isFileFailing { logger.notice("the checkpoint file can be written again") }
            isFileFailing = false
        } catch {
            // The old file has an earlier position of all flows. Resuming there would repeat records, but lose none.
            if !isFileFailing {
                logger.warning("cannot write the checkpoint file, the previous one stays: \(error)")
            }
            isFileFailing = true
        }
    }

    /// - Returns: `false` if there is no file now.
    /// - Throws: `SystemError` if the old file, which is no longer right, cannot be removed either.
    private func writeOrRemove() throws -> Bool {
        isFileFailing = false
        writeIfPossible()
        if isFileFailing { try file?.remove() }
        return !isFileFailing
    }
}

extension CheckpointStore.Opening {
    /// Reads the fields of the target's hash.
    init(fields: [String: String]) {
        self.fields = fields
        let record = TaskRecord(fields)
        position = ResumePoint(checkpoint: fields)
        hasPositions = fields.keys.contains { $0.hasPrefix("flow:") }
        databases = record.databases
        filling = record.filling
        marked = record.marked
        isReconciling = record.isReconciling
        // An earlier version stored the source only with the positions.
        source = record.source ?? (record.isReconciling ? nil : position?.replicationID)
        isStopped = fields[CheckpointKey.stopped.field] != nil
        isCutOver = fields[CheckpointKey.cutOverField] != nil
        note = DataSetNote(fields[DataSetNote.field])
        // These fields alone do not show that the task has written here: a session that ended early may have left its note
        // on the import mode, a comparison may have noted counts just after the target was emptied, and marks prove nothing
        // alone.
        let otherFields = [ImportMode.field.name, DataSetNote.field]
        isKnown = fields.keys.contains { !otherFields.contains($0) && !TaskRecord.isOfMark($0) }
    }

    /// Adds what the other store knows of the task's past.
    fileprivate mutating func add(_ other: Self) {
        if let found = other.databases { databases = (databases ?? []).union(found) }
        filling.merge(other.filling) { max($0, $1) }
        isReconciling = isReconciling || other.isReconciling
        isStopped = isStopped || other.isStopped
        isKnown = isKnown || other.isKnown
        source = source ?? other.source
    }
}

extension CheckpointFile {
    /// Removes a file that this task has written, even a damaged one, and leaves everything else.
    fileprivate func removeIfOurs() throws(SystemError) {
        switch try read() {
        case .record, .damaged: try remove()
        case .missing, .foreign: break
        }
    }
}
