import Dragonfly
import Redis

/// The session's comparison of both sides' data sets, from the building of the flows to the leave (`DataSetWatch`).
@SessionActor
final class DataSetComparison {
    private let checkpointStore: CheckpointStore
    private let control: TargetControl
    /// `nil` before the flows are built, and in a migration.
    private var watch: DataSetWatch?

    init(checkpointStore: CheckpointStore, control: TargetControl) {
        self.checkpointStore = checkpointStore
        self.control = control
    }

    func prepare(_ watch: DataSetWatch) { self.watch = watch }

    func start() async { await watch?.start() }

    func stop() async { await watch?.stop() }

    /// A global command has been applied.
    ///
    /// - Returns: what is to be noted with it.
    func flushed(_ command: GlobalCommand) async -> DataSetNote? { await watch?.flushed(command) }

    /// What the next session must know.
    func note() async -> DataSetNote? { await watch?.note }

    /// The next session continues the comparison where this one leaves it.
    ///
    /// - Throws: `TargetError`.
    func storeNote() async throws {
        guard let note = await note(), note != DataSetNote() else { return }
        try await checkpointStore.note(note, on: control)
    }
}
