import Base
import Link

/// Marks a task as cut over with the file `<task>.cutover` in its state directory.
///
/// Clients write to the task's target since then, and following the source again would overwrite their data. The target has
/// a note too (`CheckpointStore`).
struct CutoverMark: Sendable {
    private let file: MarkerFile

    init(_ configuration: Configuration) {
        file = MarkerFile("\(configuration.stateDirectory)/\(configuration.taskName).cutover")
    }

    var path: String { file.path }

    var state: MarkerFile.State { file.state }

    /// Whether the task must not start. Also true if the file's state cannot be determined.
    var isSet: Bool { file.isSet }

    /// - Throws: `SystemError`
    func set() throws(SystemError) { try file.set() }

    /// - Throws: `SystemError`
    func remove() throws(SystemError) { try file.remove() }

    /// The command that lets a task start again.
    ///
    /// - Parameter file: the task's configuration.
    static func undo(_ task: String, _ file: String) -> String {
        "df2redis cutover \(task) --undo" + (file == CutoverUndo.standardFile(of: task) ? "" : " --config \(file)")
    }

    /// The message that explains why the task does not start.
    ///
    /// - Parameter file: the task's configuration.
    func refusal(_ configuration: Configuration, file: String) -> String {
        "this task has been cut over: clients write to \(configuration.target.place) since, and to follow "
            + "\(configuration.source.address) again would overwrite what they have written. To follow it all the same: "
            + "\(Self.undo(configuration.taskName, file)) (\(path))"
    }
}
