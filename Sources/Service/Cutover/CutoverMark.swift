import Base
import Glibc
import Link

/// That a task has been cut over: clients write to its target since, and whoever follows the source again overwrites what
/// they have written. A file of the state directory, `<task>.cutover`; the target has a note too (`CheckpointStore`).
struct CutoverMark: Sendable {
    let path: String

    init(_ configuration: Configuration) {
        path = "\(configuration.stateDirectory)/\(configuration.taskName).cutover"
    }

    /// The file is there, whatever is in it.
    var isSet: Bool { access(path, F_OK) == 0 }

    /// - Throws: `SystemError`
    func set() throws(SystemError) {
        try AtomicFile(path: path).write(Array("\(WallClock.milliseconds() / 1000)\n".utf8), isDurable: true)
    }

    /// Why the task does not start.
    func refusal(_ configuration: Configuration) -> String {
        "this task has been cut over: clients write to \(configuration.target.place) since, and to follow "
            + "\(configuration.source.address) again would overwrite what they have written. To follow it all the same: "
            + "df2redis cutover \(configuration.taskName) --undo (\(path))"
    }

    /// - Throws: `SystemError`
    func remove() throws(SystemError) { try AtomicFile(path: path).remove() }
}
