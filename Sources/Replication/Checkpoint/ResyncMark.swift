package import Base
import Glibc

/// That a task's position is given up: the target holds what the source's journal knows nothing of, such as what clients
/// have written there after a cut-over that was taken back.
///
/// A file of the state directory, `<task>.resync`, which does not need the target. It is there until a full sync has begun,
/// which from then on is known to be unfinished wherever the checkpoint is.
package struct ResyncMark: Equatable, Sendable {
    package let path: String

    package init(path: String) { self.path = path }

    /// The file is there, whatever is in it; one that cannot be looked for counts as there.
    package var isSet: Bool { access(path, F_OK) == 0 || errno != ENOENT }

    /// - Throws: `SystemError`
    package func set() throws(SystemError) {
        try AtomicFile(path: path).write(Array("\(WallClock.milliseconds() / 1000)\n".utf8), isDurable: true)
    }

    /// - Throws: `SystemError`
    func remove() throws(SystemError) { try AtomicFile(path: path).remove() }
}
