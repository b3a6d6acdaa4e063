import Base
import Link

/// That a task has been cut over: clients write to its target since, and whoever follows the source again overwrites what
/// they have written. A file of the state directory, `<task>.cutover`; the target has a note too (`CheckpointStore`).
struct CutoverMark: Sendable {
    private let file: MarkerFile

    init(_ configuration: Configuration) {
        file = MarkerFile("\(configuration.stateDirectory)/\(configuration.taskName).cutover")
    }

    var path: String { file.path }

    var state: MarkerFile.State { file.state }

    /// Also where nobody can say that it has not been: for whoever is to start the task.
    var isSet: Bool { file.isSet }

    /// - Throws: `SystemError`
    func set() throws(SystemError) { try file.set() }

    /// - Throws: `SystemError`
    func remove() throws(SystemError) { try file.remove() }

    /// The command that lets a task start again.
    ///
    /// - Parameter file: its configuration.
    static func undo(_ task: String, _ file: String) -> String {
        "df2redis cutover \(task) --undo" + (file == CutoverUndo.standardFile(of: task) ? "" : " --config \(file)")
    }

    /// Why the task does not start.
    ///
    /// - Parameter file: its configuration.
    func refusal(_ configuration: Configuration, file: String) -> String {
        "this task has been cut over: clients write to \(configuration.target.place) since, and to follow "
            + "\(configuration.source.address) again would overwrite what they have written. To follow it all the same: "
            + "\(Self.undo(configuration.taskName, file)) (\(path))"
    }
}
