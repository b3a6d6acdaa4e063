import Redis

/// Asks now and then what the target has done to the task's keys by itself: whether it evicts, and whether the task's
/// checkpoint, and the mark of each database that the task fills (`DatabaseMark`), are still there.
///
/// Somebody else may empty the target, or one of its databases, which breaks no connection: flows that go on writing would
/// only note their positions anew, over data that are gone. It lives as long as the process, so that nothing is missed between
/// two sessions, and has a connection of its own, since a poll waits as long as the target does.
actor TargetWatch {
    /// What ought to be in the target.
    enum Expectation: Equatable, Sendable {
        case nothing
        /// The checkpoint, and the marks that it names.
        case checkpoint
        /// These marks, in the server process of which a file keeps the position.
        case marks(Set<UInt32>, runID: String)
    }

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
        /// Databases that somebody has emptied, or exchanged for others.
        var emptied: Set<UInt32> = []
        /// Databases whose marks the target has evicted.
        var evicted: Set<UInt32> = []
        /// How long the target took to say its figures.
        var roundTrip = Duration.zero
    }

    private let control: TargetControl
    private let key: CheckpointKey
    private var keyLoss = KeyLoss()
    /// Of the last poll: the checkpoint may have gone between its two questions.
    private var lastEvicted = 0
    private var lastKeysByDatabase: [UInt32: Int] = [:]
    private var isPolling = false

    init(connector: TargetConnector, key: CheckpointKey) {
        control = TargetControl(connector: connector, role: "watch")
        self.key = key
    }

    /// - Returns: `nil` while another poll is under way, and when the target does not answer: the flows notice that by
    ///   themselves.
    func poll(expecting expected: Expectation) async -> Findings? {
        guard !isPolling else { return nil }
        isPolling = true
        defer { isPolling = false }
        do {
            var (isThere, lacking) = (true, Set<UInt32>())
            switch expected {
            case .nothing: break
            case .checkpoint: (isThere, lacking) = try await look()
            case .marks(let marked, _):
                let found = try await control.marks(of: key.task, in: marked, with: key.name)
                lacking = DatabaseMark.lacking(marked, in: found.marks)
            }
            let start = ContinuousClock.now
            let figures = try await control.figures()
            // Of another process nothing is known but from the session that begins with it.
            if case .marks(_, let runID) = expected, figures.runID != runID { lacking = [] }
            return findings(
                in: figures, roundTrip: start.duration(to: .now), isCheckpointThere: isThere, lacking: lacking)
        } catch {
            return nil
        }
    }

    /// Whether the checkpoint is there, and which databases lack the marks that it names at the same moment: a server that
    /// comes back from before has neither.
    private func look() async throws(TargetError) -> (isThere: Bool, lacking: Set<UInt32>) {
        let record = TaskRecord(try await control.hash(key.name))
        let marked = record.marked.subtracting([0])
        guard record.databases != nil, !marked.isEmpty, !control.isInCluster else {
            return (record.databases != nil, [])
        }
        let found = try await control.marks(of: key.task, in: marked, with: key.name)
        let now = TaskRecord(found.fields)
        let lacking = DatabaseMark.lacking(now.marked.intersection(marked), in: found.marks)
        return (now.databases != nil, lacking)
    }

    /// What follows from figures that somebody else has asked for, who does not expect a checkpoint.
    func findings(in figures: TargetFigures, roundTrip: Duration) -> Findings {
        findings(in: figures, roundTrip: roundTrip, isCheckpointThere: true, lacking: [])
    }

    private func findings(
        in figures: TargetFigures, roundTrip: Duration, isCheckpointThere: Bool, lacking: Set<UInt32>
    ) -> Findings {
        let (keysBefore, before) = (keyLoss.lastKeys, lastKeysByDatabase)
        let loss = keyLoss.update(figures)
        // Who empties a server, or a database, leaves a few keys at most that have been written since.
        let evicts = loss.evicted + lastEvicted > 0
        let isEvicted = evicts && figures.keys * 2 >= keysBefore
        let evicted = lacking.filter { evicts && figures.keysByDatabase[$0, default: 0] * 2 >= before[$0, default: 0] }
        (lastEvicted, lastKeysByDatabase) = (loss.evicted, figures.keysByDatabase)
        return Findings(
            figures: figures, loss: loss, checkpoint: isCheckpointThere ? .intact : isEvicted ? .evicted : .gone,
            emptied: lacking.subtracting(evicted), evicted: evicted, roundTrip: roundTrip)
    }

    /// Until the next poll.
    func close() async { await control.close() }
}
