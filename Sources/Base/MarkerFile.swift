import Glibc

/// A file whose existence is a mark. It contains the Unix time at which it was set.
package struct MarkerFile: Equatable, Sendable {
    package enum State: Equatable, Sendable {
        case set, notSet
        /// It cannot be determined whether the file exists.
        case unknown(SystemError)
    }

    package let path: String

    package init(_ path: String) { self.path = path }

    package var state: State {
        if access(path, F_OK) == 0 { return .set }
        let code = errno
        return code == ENOENT ? .notSet : .unknown(SystemError("access", errno: code, peer: path))
    }

    /// Whether the file exists, regardless of its contents. If this cannot be determined, the file counts as existing.
    package var isSet: Bool { state != .notSet }

    /// - Throws: `SystemError`
    package func set() throws(SystemError) {
        try AtomicFile(path: path).write(Array("\(WallClock.milliseconds() / 1000)\n".utf8), isDurable: true)
    }

    /// - Throws: `SystemError`
    package func remove() throws(SystemError) { try AtomicFile(path: path).remove() }
}
