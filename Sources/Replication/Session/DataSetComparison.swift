import Dragonfly
import Redis

/// The session's comparison of both sides' data sets (`DataSetWatch`). It exists from the building of the flows until the
/// session leaves.
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

    /// Reports that a global command has been applied.
    ///
    /// - Returns: the note to store together with it.
    func flushed(_ command: GlobalCommand) async -> DataSetNote? { await watch?.flushed(command) }

    /// The note for the next session.
    func note() async -> DataSetNote? { await watch?.note }

    /// Stores the note, so that the next session continues the comparison.
    ///
    /// - Throws: `TargetError`.
    func storeNote() async throws {
        guard let note = await note(), note != DataSetNote() else { return }
        try await checkpointStore.note(note, on: control)
    }
}
