package import Base

/// That a task's position is given up: the target holds what the source's journal knows nothing of, such as what clients
/// have written there after a cut-over that was taken back.
///
/// A file of the state directory, `<task>.resync`, which does not need the target. It is there until a full sync has begun,
/// which from then on is known to be unfinished wherever the checkpoint is.
package struct ResyncMark: Equatable, Sendable {
    private let file: MarkerFile

    package init(path: String) { file = MarkerFile(path) }

    package var path: String { file.path }

    /// Also where nobody can say that it is not.
    package var isSet: Bool { file.isSet }

    /// - Throws: `SystemError`
    package func set() throws(SystemError) { try file.set() }

    /// - Throws: `SystemError`
    func remove() throws(SystemError) { try file.remove() }
}
