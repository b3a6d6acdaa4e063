import Glibc

/// A file that says something by being there; in it is when it was set, in Unix time.
package struct MarkerFile: Equatable, Sendable {
    package let path: String

    package init(_ path: String) { self.path = path }

    /// The file is there, whatever is in it; one that cannot be looked for counts as there.
    package var isSet: Bool { access(path, F_OK) == 0 || errno != ENOENT }

    /// - Throws: `SystemError`
    package func set() throws(SystemError) {
        try AtomicFile(path: path).write(Array("\(WallClock.milliseconds() / 1000)\n".utf8), isDurable: true)
    }

    /// - Throws: `SystemError`
    package func remove() throws(SystemError) { try AtomicFile(path: path).remove() }
}
