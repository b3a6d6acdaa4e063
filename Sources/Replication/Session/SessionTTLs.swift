import Dragonfly
import Link
import Logging
import Redis

/// TTLs at the two ends of a session: the target's import mode, the source's deadlines that were put off, and those of
/// elements.
@SessionActor
final class SessionTTLs {
    private let scope: SessionScope
    private let logger: Logger
    private var importMode = ImportMode.Owner.off

    init(_ scope: SessionScope) {
        self.scope = scope
        logger = scope.task.logger
    }

    private var settings: ReplicatorSettings { scope.task.settings }

    // MARK: Import mode

    /// The target expires nothing by itself.
    var isInImportMode: Bool { importMode != .off }

    /// This process is to end it.
    var ownsImportMode: Bool { scope.history.ownsImportMode || importMode == .ours }

    /// What the checkpoint's hash holds of it.
    var fields: [(field: String, value: String)] {
        importMode == .ours ? [(field: ImportMode.field.name, value: ImportMode.field.value)] : []
    }

    func beginImportMode(_ claim: TaskLease.Claim) async throws {
        let mode = ImportMode(control: scope.control, checkpoint: scope.task.checkpointKey, logger: logger)
        importMode = try await mode.begin(claim, wasOurs: scope.history.ownsImportMode)
    }

    // MARK: Deadlines

    /// Keeps the target from expiring keys before the stream does.
    ///
    /// - Parameter resume: where a resumed session begins; `nil` for a full sync.
    /// - Returns: what each flow needs for it; `nil` for all where there is no state directory.
    func prepareDeadlines(
        _ session: SessionStateMachine.Session, resume: ResumePoint?
    ) async throws -> (FlowID) -> FlowStart.Expiry? {
        guard let folder = settings.expiryFolder else { return { _ in nil } }
        guard scope.target.rights.allows("EVAL") else {
            try WheelFolder.remove(folder)
            return { _ in nil }
        }
        if resume == nil {
            try WheelFolder.remove(folder)
        } else if isInImportMode {
            // Margins of the last leave, or of a time without import mode.
            _ = await ExactTTLRestorer(folder: folder, control: scope.control, logger: logger, clock: settings.clock)
                .run(within: ReplicatorSettings.restoreLimit)
        }
        try WheelFolder.make(folder)
        let origin = "\(session.replicationID) \(session.flowCount)".utf8.reduce(Int64(0)) { $0 &* 31 &+ Int64($1) }
        let window = isInImportMode ? nil : settings.expiryGuard
        return { FlowStart.Expiry(folder: "\(folder)/\($0)", origin: origin, window: window) }
    }

    /// The leave of a session that has not begun: what the one before has left.
    func restoreWithoutFlows() async {
        await settings.restoreExactTTLs(importMode: ownsImportMode ? .ours : nil, logger: logger)
    }

    /// Gives keys the source's deadlines, and ends the import mode.
    ///
    /// - Parameter drained: the flows that have applied everything.
    func restoreExact(of drained: Set<FlowID>, _ departure: Departure, within limit: Duration) async {
        let flows = scope.flows.appliers.map(\.flow)
        if !isInImportMode {
            for flow in flows where !drained.contains(flow) {
                departure.log(
                    "TTLs near their end stay later than the source's, as not everything is applied", flow: flow,
                    level: .notice)
            }
        }
        let areExact = await settings.restoreExactTTLs(
            of: drained, importMode: importMode, within: limit, logger: logger)
        if areExact, drained.count == flows.count { departure.log("TTLs are the source's") }
    }

    /// A migration is complete: what was noted of deadlines goes.
    func forgetDeadlines() {
        if let folder = settings.expiryFolder { try? WheelFolder.remove(folder) }
    }

    // MARK: Elements

    /// The configuration's, as far as the target lets us follow it: without scripts nobody ends the TTLs of elements.
    var policy: ReplicationPolicy {
        var policy = settings.policy
        if !scope.target.rights.allows("EVAL") { policy.elementExpiry = .unsupported }
        return policy
    }

    /// A session that resumes takes over what the one before has left in the target; a full sync brings all anew.
    var takesOverElements: Bool { !scope.sync.isFullSync && keepsElements }

    var keepsElements: Bool { scope.target.profile.map { policy.keepsElements(of: $0) } ?? false }

    /// - Parameter databases: those of the target that hold keys.
    /// - Returns: by flow and database, the keys whose elements have TTLs.
    /// - Throws: `TargetError`.
    func elementsTakenOver(flowCount: Int, in databases: [UInt32]) async throws -> [[UInt32: [[UInt8]]]] {
        guard takesOverElements else { return [[UInt32: [[UInt8]]]](repeating: [:], count: flowCount) }
        return try await TaskElements(settings.task, on: scope.control).dueKeys(flows: flowCount, databases: databases)
    }

    /// Forgets what an earlier session has left, where it is not taken over. Before anything is sent to the target.
    ///
    /// - Parameter databases: those of the target that may hold some.
    /// - Throws: `TargetError`.
    func forgetOldElements(in databases: [UInt32]) async throws {
        if takesOverElements { return }
        let count = try await TaskElements(settings.task, on: scope.control).forget(
            in: databases, isFullSync: scope.sync.isFullSync)
        if count > 0, !scope.sync.isFullSync {
            logger.warning(
                "\(count) keys hold elements whose TTLs are no longer enforced (policy.memberTTL: unsupported)")
        }
    }

    /// After the leave: what stays until the task runs again.
    func reportOutstandingElements() async {
        guard await scope.flows.haveElementExpiries() else { return }
        let control = settings.partingControl(role: "outstanding")
        let (elements, flowCount) = (TaskElements(settings.task, on: control), scope.flows.appliers.count)
        let count = await within(.seconds(2)) { try? await elements.count(flowCount: flowCount) }
        await control.close()
        if count == 0 { return }
        let rest =
            scope.target.profile?.hasFieldExpiry == true
            ? "members of sets stay until this task runs again, fields the target ends itself"
            : "they stay until this task runs again"
        logger.warning(
            "\(count.map { "\($0)" } ?? "some") keys hold elements with a TTL that df2redis keeps: \(rest)",
            metadata: ["phase": "leaving"])
    }
}
