import Redis

/// Polls the target for what it does to the task's keys by itself: whether it evicts keys, and whether the task's
/// checkpoint and the mark of each database that the task fills (`DatabaseMark`) still exist.
///
/// Somebody else may empty the target or one of its databases, which breaks no connection. Flows that continued to write
/// would only store new positions although the data are gone. The watch lives as long as the process, so it misses nothing
/// between two sessions. It has its own connection, because a poll waits as long as the target does.
actor TargetWatch {
    /// What the target should hold.
    enum Expectation: Equatable, Sendable {
        case nothing
        /// The checkpoint and the marks that it names.
        case checkpoint
        /// These marks, in the server process whose position is in a file.
        case marks(Set<UInt32>, runID: String)
    }

    enum Checkpoint: Equatable, Sendable {
        /// The checkpoint exists, or was not checked.
        case intact
        case evicted
        /// The checkpoint disappeared along with all other keys, or somebody deleted it.
        case gone
    }

    struct Findings: Equatable, Sendable {
        var figures: TargetFigures
        var loss: KeyLoss.Change
        var checkpoint: Checkpoint
        /// Databases that somebody has emptied or swapped with others.
        var emptied: Set<UInt32> = []
        /// Databases whose marks the target has evicted.
        var evicted: Set<UInt32> = []
        /// How long the target took to answer with its figures.
        var roundTrip = Duration.zero
    }

    private let control: TargetControl
    private let key: CheckpointKey
    private var keyLoss = KeyLoss()
    /// The evictions that the last poll found. The checkpoint may have been evicted between the two requests of that poll.
    private var lastEvicted = 0
    private var lastKeysByDatabase: [UInt32: Int] = [:]
    private var isPolling = false

    init(connector: TargetConnector, key: CheckpointKey) {
        control = TargetControl(connector: connector, role: "watch")
        self.key = key
    }

    /// Polls the target.
    ///
    /// - Returns: `nil` while another poll is under way, and if the target does not answer, which the flows notice by
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
            // If this is another server process, only the session that begins with it can judge its marks.
            if case .marks(_, let runID) = expected, figures.runID != runID { lacking = [] }
            return findings(
                in: figures, roundTrip: start.duration(to: .now), isCheckpointThere: isThere, lacking: lacking)
        } catch {
            return nil
        }
    }

    /// Checks whether the checkpoint exists and, in the same transaction, which databases lack the marks that it names. A
    /// server that comes back with an older state lacks both a mark and the field that names it.
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

    /// Evaluates figures that another part requested; a missing checkpoint is no error here.
    func findings(in figures: TargetFigures, roundTrip: Duration) -> Findings {
        findings(in: figures, roundTrip: roundTrip, isCheckpointThere: true, lacking: [])
    }

    private func findings(
        in figures: TargetFigures, roundTrip: Duration, isCheckpointThere: Bool, lacking: Set<UInt32>
    ) -> Findings {
        let (keysBefore, before) = (keyLoss.lastKeys, lastKeysByDatabase)
        let loss = keyLoss.update(figures)
        // After somebody has emptied a server or a database, it holds only the few keys that were written since.
        let evicts = loss.evicted + lastEvicted > 0
        let isEvicted = evicts && figures.keys * 2 >= keysBefore
        let evicted = lacking.filter { evicts && figures.keysByDatabase[$0, default: 0] * 2 >= before[$0, default: 0] }
        (lastEvicted, lastKeysByDatabase) = (loss.evicted, figures.keysByDatabase)
        return Findings(
            figures: figures, loss: loss, checkpoint: isCheckpointThere ? .intact : isEvicted ? .evicted : .gone,
            emptied: lacking.subtracting(evicted), evicted: evicted, roundTrip: roundTrip)
    }

    /// Closes the connection; the next poll opens it again.
    func close() async { await control.close() }
}
