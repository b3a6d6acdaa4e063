import Dragonfly
import Link
import Logging
import Redis

/// TTLs at both ends of a session: the target's import mode, the source's deadlines that were postponed at the target, and
/// the TTLs of elements.
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

    /// Whether the target expires nothing by itself.
    var isInImportMode: Bool { importMode != .off }

    /// Whether this process must end the import mode.
    var ownsImportMode: Bool { scope.history.ownsImportMode || importMode == .ours }

    /// The fields of the checkpoint's hash about the import mode.
    var fields: [(field: String, value: String)] {
        importMode == .ours ? [(field: ImportMode.field.name, value: ImportMode.field.value)] : []
    }

    func beginImportMode(_ claim: TaskLease.Claim) async throws {
        let mode = ImportMode(control: scope.control, checkpoint: scope.task.checkpointKey, logger: logger)
        importMode = try await mode.begin(claim, wasOurs: scope.history.ownsImportMode)
    }

    // MARK: Deadlines

    /// Prevents the target from expiring keys before the stream removes them.
    ///
    /// - Parameter resume: the position of a resumed session; `nil` for a full sync.
    /// - Returns: what each flow needs for this; always `nil` if there is no state directory.
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
            // Removes the margins that remain from the last leave, or from a time without import mode.
            _ = await ExactTTLRestorer(folder: folder, control: scope.control, logger: logger, clock: settings.clock)
                .run(within: ReplicatorSettings.restoreLimit)
        }
        try WheelFolder.make(folder)
        let origin = "\(session.replicationID) \(session.flowCount)".utf8.reduce(Int64(0)) { $0 &* 31 &+ Int64($1) }
        let window = isInImportMode ? nil : settings.expiryGuard
        return { FlowStart.Expiry(folder: "\(folder)/\($0)", origin: origin, window: window) }
    }

    /// Restores the TTLs that the previous session has left, at a leave before the session has begun.
    func restoreWithoutFlows() async {
        await settings.restoreExactTTLs(importMode: ownsImportMode ? .ours : nil, logger: logger)
    }

    /// Gives keys the source's exact deadlines, and ends the import mode.
    ///
    /// - Parameter drained: the flows that have applied everything.
    func restoreExact(of drained: Set<FlowID>, _ departure: LeaveLog, within limit: Duration) async {
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

    /// Removes the noted deadlines after a migration is complete.
    func forgetDeadlines() {
        if let folder = settings.expiryFolder { try? WheelFolder.remove(folder) }
    }

    // MARK: Elements

    /// The configured policy, as far as the target's ACL permits it. Without scripts nobody can end the TTLs of elements.
    var policy: ReplicationPolicy {
        var policy = settings.policy
        if !scope.target.rights.allows("EVAL") { policy.elementExpiry = .unsupported }
        return policy
    }

    /// Whether the session takes over the elements that the previous one has left in the target. A full sync brings all of
    /// them anew.
    var takesOverElements: Bool { !scope.sync.isFullSync && keepsElements }

    var keepsElements: Bool { scope.target.profile.map { policy.keepsElements(of: $0) } ?? false }

    /// Finds the keys whose elements have TTLs, if the session takes them over.
    ///
    /// - Parameter databases: the target's databases that hold keys.
    /// - Returns: the keys, by flow and database.
    /// - Throws: `TargetError`.
    func elementsTakenOver(flowCount: Int, in databases: [UInt32]) async throws -> [[UInt32: [[UInt8]]]] {
        guard takesOverElements else { return [[UInt32: [[UInt8]]]](repeating: [:], count: flowCount) }
        return try await TaskElements(settings.task, on: scope.control).dueKeys(flows: flowCount, databases: databases)
    }

    /// Removes what an earlier session has left of elements' TTLs, unless this session takes it over. Must run before
    /// anything is sent to the target.
    ///
    /// - Parameter databases: the target's databases that may hold such TTLs.
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

    /// Reports, after the leave, the elements that stay until the task runs again.
    func reportOutstandingElements() async {
        guard await scope.flows.haveElementExpiries() else { return }
        let control = settings.controlForLeave(role: "outstanding")
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
