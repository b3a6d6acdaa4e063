import Dragonfly
import Redis

/// Passes on what the target has confirmed: to the figures, to the session, and to the source as acknowledgements.
struct AppliedProgress {
    /// The number of applied records after which the position is acknowledged at once (Protocol, 4.5).
    private static let recordsPerAcknowledgement = 1024

    private let flow: FlowID
    private let figures: FlowProgress
    private let counters: TaskCounters
    private let onEvent: @Sendable (FlowEvent) -> Void
    private var didReportSnapshot: Bool
    private var didReportStable: Bool
    /// Whether the current position has been sent. A position is stored even if no record follows it: after the snapshot,
    /// and after the flow's mark has moved on.
    var hasSentPosition: Bool
    private var recordsSinceAcknowledgement = 0
    /// The flow's own connection, if records are acknowledged on it.
    var connection: FlowConnection?

    init(
        _ flow: FlowID, _ start: FlowStart, context: FlowContext, onEvent: @escaping @Sendable (FlowEvent) -> Void
    ) {
        self.flow = flow
        figures = context.progress(flow)
        counters = context.counters
        self.onEvent = onEvent
        let isContinued = start.isContinued
        (didReportSnapshot, didReportStable, hasSentPosition) = (isContinued, isContinued, isContinued)
        if isContinued, let mark = start.mark { figures.setResumePoint(mark) }
    }

    /// Reports that the snapshot is decoded.
    mutating func snapshotCompleted() {
        if !didReportSnapshot { onEvent(.snapshotCompleted(flow)) }
        didReportSnapshot = true
    }

    mutating func applied(_ batch: CommandBatch, masterVersion: String?) {
        if let sentAt = batch.sentAt { counters.batchApplied(after: sentAt.duration(to: .now)) }
        let progress = batch.progress
        figures.applied(
            next: progress.nextLSN, keys: progress.keys, records: progress.records, bytes: progress.flowBytes)
        figures.applied(outOfStreamCount: progress.outOfStreamCount)
        if progress.nextLSN != nil, !didReportStable {
            didReportStable = true
            onEvent(.stable(flow, masterVersion: masterVersion))
        }
        recordsSinceAcknowledgement += progress.records
        if recordsSinceAcknowledgement >= Self.recordsPerAcknowledgement {
            recordsSinceAcknowledgement = 0
            connection?.acknowledgeSoon()
        }
    }
}
