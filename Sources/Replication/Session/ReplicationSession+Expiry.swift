import Dragonfly
import Link
import Logging
import Redis

extension ReplicationSession {
    /// The target expires nothing by itself.
    var isInImportMode: Bool { importModeStanding != .off }
    /// This process is to end it.
    var ownsImportMode: Bool { history.ownsImportMode || importModeStanding == .ours }

    func beginImportMode(_ profile: TargetProfile) async throws {
        let importMode = ImportMode(control: control, checkpoint: checkpointKey, logger: logger)
        importModeStanding = try await importMode.begin(profile, wasOurs: history.ownsImportMode)
    }

    /// Keeps the target from expiring keys before the stream does.
    ///
    /// - Parameter resume: where a continued session begins; `nil` for a full sync.
    /// - Returns: what each flow needs for it; `nil` for all where there is no state directory.
    func prepareExpiry(
        _ session: SessionStateMachine.Session, resume: ResumePoint?
    ) async throws -> (FlowID) -> FlowStart.Expiry? {
        guard let folder = settings.expiryFolder else { return { _ in nil } }
        guard rights.allows("EVAL") else {
            try BookFolder.remove(folder)
            return { _ in nil }
        }
        if resume == nil {
            try BookFolder.remove(folder)
        } else if isInImportMode {
            // Margins of the last leave, or of a time without import mode.
            _ = await ExpirySettler(folder: folder, control: control, logger: logger, clock: settings.clock)
                .run(within: ReplicatorSettings.settleLimit)
        }
        try BookFolder.make(folder)
        let origin = "\(session.replicationID) \(session.flowCount)".utf8.reduce(Int64(0)) { $0 &* 31 &+ Int64($1) }
        let window = isInImportMode ? nil : settings.expiryGuard
        return { FlowStart.Expiry(folder: "\(folder)/\($0)", origin: origin, window: window) }
    }

    /// The leave of a session that has not begun: what the one before has left.
    func settleExpiry() async {
        await settings.settleExpiry(importMode: ownsImportMode ? .ours : nil, logger: logger)
    }

    /// - Parameter drained: the flows that have applied everything.
    func settleExpiry(_ drained: Set<FlowID>, _ departure: Departure, within limit: Duration) async {
        if !isInImportMode {
            for applier in appliers where !drained.contains(applier.flow) {
                departure.log(
                    "TTLs near their end stay later than the source's, as not everything is applied",
                    flow: applier.flow, level: .notice)
            }
        }
        let isSettled = await settings.settleExpiry(
            of: drained, importMode: importModeStanding, within: limit, logger: logger)
        if isSettled, drained.count == appliers.count { departure.log("TTLs are the source's") }
    }
}
