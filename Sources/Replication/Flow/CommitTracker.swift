import Dragonfly
import Redis
import Wire

/// Knows how far the target has confirmed a flow, and decides from the checkpoint what became of a batch in doubt. Pure.
///
/// If the checkpoint is in the target, it is written together with the batch and shows whether the batch was applied. If a
/// file keeps the checkpoint, the batch is sent again, so each batch is applied at least once. A file cannot show what the
/// target may have lost in a restart.
struct CommitTracker {
    private let key: CheckpointKey
    private let flow: FlowID
    private let session: SessionStateMachine.Session
    private let isInTarget: Bool
    /// The run ID of the target process to which the positions in a file are bound.
    private let targetRunID: String
    /// What the checkpoint holds if nothing later has been applied; `nil` if it holds nothing.
    private(set) var confirmed: String?
    /// The count of out-of-stream batches of the confirmed mark.
    private(set) var confirmedOutOfStreamCount: UInt64 = 0
    /// What the last sealed batch writes to the checkpoint.
    private var latest: String?
    private var latestOutOfStreamCount: UInt64 = 0
    private var batchNumber: UInt64 = 0
    /// The LSN before which an earlier session may have applied records.
    private(set) var repeatsUntil: LSN?
    private var sealedNext: UInt64 = 0

    init(_ flow: FlowID, context: FlowContext) {
        self.flow = flow
        key = context.checkpointKey
        session = context.session
        isInTarget = context.checkpoint.store == .target
        targetRunID = context.targetRunID
    }

    // MARK: The start

    /// Lets the flow continue at `mark`.
    ///
    /// - Parameter repeating: whether some of what follows may have been applied already; `setCatchUpEnd` says how far.
    mutating func setResumePoint(_ mark: StreamMark, repeating: Bool) {
        let next = mark.next
        sealedNext = next.value
        confirmed = CheckpointValue(of: next, session).text
        (confirmedOutOfStreamCount, latestOutOfStreamCount) = (mark.outOfStreamCount, mark.outOfStreamCount)
        repeatsUntil = repeating ? LSN(.max) : nil
    }

    /// Notes that the source was at `end` after the session had begun, so only records before `end` may be repeated.
    mutating func setCatchUpEnd(_ end: LSN) { if repeatsUntil != nil { repeatsUntil = end } }

    // MARK: Batches

    /// Seals a batch with the flow's position in it.
    mutating func seal(_ batch: CommandBatch) { batch.seal(checkpoint: checkpoint(of: batch)) }

    /// Notes that the next batch brings the flow to `next`.
    ///
    /// - Returns: whether some of it may have been applied before.
    mutating func noteBatch(endingAt next: UInt64?) -> Bool {
        guard let next, let end = repeatsUntil else { return false }
        defer { sealedNext = next }
        return sealedNext < end.value
    }

    private mutating func checkpoint(of batch: CommandBatch) -> PositionFields? {
        guard isInTarget else { return nil }
        batchNumber += 1
        let value =
            batch.progress.nextLSN.map { CheckpointValue(of: LSN($0), session) }
            ?? .snapshot(replicationID: session.replicationID, syncID: session.syncID, batch: batchNumber)
        let text = value.text
        let isSamePosition = text == latest ?? confirmed
        latest = text
        if isSamePosition { latestOutOfStreamCount += 1 }
        batch.progress.outOfStreamCount = latestOutOfStreamCount
        return .init(
            key: key.name.bytes, field: key.field(flow).bytes, value: text.bytes,
            furtherFields: latestOutOfStreamCount > 0
                ? [key.outOfStreamField(flow), "\(latestOutOfStreamCount)"].map(\.bytes) : [])
    }

    mutating func confirm(_ batch: CommandBatch) {
        guard let value = batch.checkpointValue else { return }
        (confirmed, confirmedOutOfStreamCount) = (
            String(decoding: value, as: UTF8.self), batch.progress.outOfStreamCount
        )
    }

    /// Notes that a global command has been applied together with the checkpoints of all flows.
    mutating func confirmGlobal(next: LSN) {
        confirmed = CheckpointValue(of: next, session).text
        latest = confirmed
    }

    // MARK: A target that comes back

    enum Resolution: Equatable {
        /// Nothing is in doubt.
        case upToDate
        case applied
        case notApplied
        /// The batch may have been applied; it is sent again.
        case repeated
        /// The target does not hold the data that the flow has written, for this reason.
        case changed(String)
    }

    /// Checks at the session's first connection that the target still holds the position that the session found there.
    func resolveStart(_ finding: FlowTargetFinding) -> Resolution {
        guard isInTarget, repeatsUntil == nil else { return .upToDate }
        guard isAtConfirmedPosition(finding) else {
            return .changed("something else has moved this task's checkpoint: it is \(finding.checkpointText)")
        }
        return finding.outOfStreamCount == confirmedOutOfStreamCount ? .upToDate : .changed(Self.outOfStreamWritesLost)
    }

    private static let outOfStreamWritesLost =
        "the target came back without the last of what was written beside the stream: values that were read at the source, TTLs"

    /// Whether the target holds the confirmed position. An earlier version may have written it in another form.
    private func isAtConfirmedPosition(_ finding: FlowTargetFinding) -> Bool {
        if finding.checkpoint == confirmed { return true }
        guard let found = finding.checkpoint, let confirmed, let value = CheckpointValue(found) else { return false }
        return value == CheckpointValue(confirmed)
    }

    /// Decides what became of the batch that was on its way.
    ///
    /// - Parameter others: unordered batches that were on their way after it or wait to be sent again. Any of them may have
    ///   been the last one applied.
    func resolveInDoubt(
        _ batch: CommandBatch?, _ finding: FlowTargetFinding, others: some Sequence<CommandBatch> = []
    ) -> Resolution {
        guard isInTarget else {
            guard finding.runID == targetRunID else {
                return .changed(
                    "the target has been restarted, and a checkpoint in a file does not say what it has lost")
            }
            return batch == nil ? .upToDate : .repeated
        }
        let sent = batch?.checkpointValue.map { String(decoding: $0, as: UTF8.self) }
        if let batch, let sent, finding.checkpoint == sent,
            finding.outOfStreamCount == batch.progress.outOfStreamCount
        {
            return .applied
        }
        if let found = finding.checkpoint, others.contains(where: { $0.checkpointValue == found.bytes }) {
            return batch == nil ? .upToDate : .repeated
        }
        guard isAtConfirmedPosition(finding) else {
            return .changed("the target came back with other data: its checkpoint is \(finding.checkpointText)")
        }
        guard finding.outOfStreamCount == confirmedOutOfStreamCount else { return .changed(Self.outOfStreamWritesLost) }
        return batch == nil ? .upToDate : .notApplied
    }
}

extension FlowTargetFinding {
    fileprivate var checkpointText: String { checkpoint.map { "\"\($0)\"" } ?? "gone" }
}

extension CheckpointValue {
    fileprivate init(of next: LSN, _ session: SessionStateMachine.Session) {
        self = .stable(replicationID: session.replicationID, flowCount: session.flowCount, next: next)
    }
}
