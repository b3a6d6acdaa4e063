/// Holds copies of a session's sockets outside of this process, for example in systemd's file descriptor store.
///
/// If this process is killed, the kernel sends neither FIN nor RST on a socket while a copy exists elsewhere. The next
/// process can then leave the master in order (`AbandonedSession`). While a copy exists, `close` does not end the
/// connection, so each socket is released after it has been left.
package protocol SocketStore: Sendable {
    /// Keeps a copy of `descriptor` under `name`.
    func keep(_ descriptor: Int32, name: String)
    /// Closes the copies under `name`.
    func release(name: String)
}

/// A socket keeper that keeps nothing.
package struct NoSocketStore: SocketStore {
    package init() {}
    package func keep(_ descriptor: Int32, name: String) {}
    package func release(name: String) {}
}

/// The names under which the sockets of a session are kept.
package enum StoredSocketName {
    package static let main = "main"
    package static let inspector = "inspector"
    package static let values = "values"
    package static let streams = "streams"
    package static let pieces = "pieces"
    package static let placement = "placement"
    package static func flow(_ flow: FlowID) -> String { "flow-\(flow)" }
}
