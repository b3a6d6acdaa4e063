import Redis

/// Asks now and then what the target has done to the task's keys by itself: whether it evicts, and whether the task's
/// checkpoint is still there.
///
/// Somebody else may empty the target, which breaks no connection: flows that go on writing would only note their positions
/// anew, over data that are gone. It lives as long as the process, so that nothing is missed between two sessions, and has
/// a connection of its own, since a poll waits as long as the target does.
actor TargetWatch {
    enum Checkpoint: Equatable, Sendable {
        /// It is there, or nobody has asked for it.
        case intact
        case evicted
        /// With everything else, or by somebody's hand.
        case gone
    }

    struct Findings: Equatable, Sendable {
        var figures: TargetFigures
        var loss: KeyLoss.Change
        var checkpoint: Checkpoint
        /// How long the target took to say its figures.
        var roundTrip = Duration.zero
    }

    private let control: TargetControl
    private let key: CheckpointKey
    private var keyLoss = KeyLoss()
    /// Of the last poll: the checkpoint may have gone between its two questions.
    private var lastEvicted = 0
    private var isPolling = false

    init(connector: TargetConnector, key: CheckpointKey) {
        control = TargetControl(connector: connector, role: "watch")
        self.key = key
    }

    /// - Parameter asksForCheckpoint: the checkpoint ought to be there.
    /// - Returns: `nil` while another poll is under way, and when the target does not answer: the flows notice that by
    ///   themselves.
    func poll(asksForCheckpoint: Bool) async -> Findings? {
        guard !isPolling else { return nil }
        isPolling = true
        defer { isPolling = false }
        do {
            let isThere = try await asksForCheckpoint ? TaskRecord(control.hash(key.name)).databases != nil : true
            let start = ContinuousClock.now
            let figures = try await control.figures()
            return findings(in: figures, roundTrip: start.duration(to: .now), isCheckpointThere: isThere)
        } catch {
            return nil
        }
    }

    /// What follows from figures that somebody else has asked for, who does not expect a checkpoint.
    func findings(in figures: TargetFigures, roundTrip: Duration) -> Findings {
        findings(in: figures, roundTrip: roundTrip, isCheckpointThere: true)
    }

    private func findings(
        in figures: TargetFigures, roundTrip: Duration, isCheckpointThere: Bool
    ) -> Findings {
        let keysBefore = keyLoss.lastKeys
        let loss = keyLoss.update(figures)
        // Who empties a server leaves a few keys at most that have been written since.
        let isEvicted = loss.evicted + lastEvicted > 0 && figures.keys * 2 >= keysBefore
        lastEvicted = loss.evicted
        return Findings(
            figures: figures, loss: loss, checkpoint: isCheckpointThere ? .intact : isEvicted ? .evicted : .gone,
            roundTrip: roundTrip)
    }

    /// Until the next poll.
    func close() async { await control.close() }
}
