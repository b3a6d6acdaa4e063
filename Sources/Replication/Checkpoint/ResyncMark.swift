package import Base

/// The mark that a task's position is given up, because the target holds data that the source's journal does not know. For
/// example, clients may have written to the target after a cut-over that was taken back.
///
/// The mark is a file in the state directory, `<task>.resync`, so it does not depend on the target. It exists until a full
/// sync has begun; from then on, the checkpoint shows that the full sync is unfinished.
package struct ResyncMark: Equatable, Sendable {
    private let file: MarkerFile

    package init(path: String) { file = MarkerFile(path) }

    package var path: String { file.path }

    /// Whether the file exists; also `true` if this cannot be determined.
    package var isSet: Bool { file.isSet }

    /// - Throws: `SystemError`
    package func set() throws(SystemError) { try file.set() }

    /// - Throws: `SystemError`
    func remove() throws(SystemError) { try file.remove() }
}
