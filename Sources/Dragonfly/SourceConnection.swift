package import Link

/// An ordinary connection to a master for the requests of one part of the session. It is opened when it is needed, and
/// again after it has broken.
///
/// The connection is handed out only after it is authenticated and approved. A copy of its socket is kept (`SocketStore`),
/// because a master that answers the close_notify of a socket that no process holds any more would get an RST.
package actor SourceConnection {
    /// The same time that a leave waits for the master's FIN, so that a busy source does not get an RST.
    private static let finWait = Duration.seconds(1)

    private let settings: SourceSettings
    private let socketStore: any SocketStore
    private let socketName: String
    private let label: String
    private let approve: @Sendable (RequestConnection) async throws -> Void
    private var connection: RequestConnection?

    /// - Parameters:
    ///   - socketName: the connection's name in `socketStore`.
    ///   - label: the label of the connection's queue.
    ///   - approve: throws if a new connection must not be used.
    package init(
        settings: SourceSettings, socketStore: any SocketStore, socketName: String, label: String,
        approve: @escaping @Sendable (RequestConnection) async throws -> Void = { _ in }
    ) {
        (self.settings, self.socketStore, self.socketName) = (settings, socketStore, socketName)
        (self.label, self.approve) = (label, approve)
    }

    /// Returns the connection, and opens it if necessary.
    ///
    /// - Throws: `SourceError`, and whatever `approve` throws.
    package func open() async throws -> RequestConnection {
        if let connection, await !connection.isBroken { return connection }
        let opened = try await settings.connect(label: label)
        do { try await approve(opened) } catch {
            _ = await opened.leave(within: Self.finWait)
            throw error
        }
        // Another caller may have opened one meanwhile.
        if let connection, await !connection.isBroken {
            _ = await opened.leave(within: Self.finWait)
            return connection
        }
        if connection != nil { socketStore.release(name: socketName) }
        connection = opened
        if let descriptor = await opened.descriptor { socketStore.keep(descriptor, name: socketName) }
        return opened
    }

    /// Closes the connection FIN-first.
    package func close() async {
        guard let connection else { return }
        self.connection = nil
        _ = await connection.leave(within: Self.finWait)
        // A connection that was opened meanwhile has the same name.
        if self.connection == nil { socketStore.release(name: socketName) }
    }
}
