package import Link

/// An ordinary connection to a master, for the questions of one part of the session: opened when it is needed, and again when
/// it has broken.
///
/// Nobody gets one before it is authenticated and approved of. A copy of its socket is kept (`SocketKeeper`), since a master
/// that answers the close_notify of a socket nobody has any more would be answered with RST.
package actor SourceConnection {
    /// As long as a leave waits for the master's FIN: a busy source must not be answered with RST.
    private static let finWait = Duration.seconds(1)

    private let settings: SourceSettings
    private let socketStore: any SocketKeeper
    private let socketName: String
    private let label: String
    private let approve: @Sendable (RequestConnection) async throws -> Void
    private var connection: RequestConnection?

    /// - Parameters:
    ///   - socketName: of the connection in `socketStore`.
    ///   - label: of its queue.
    ///   - approve: throws where a new connection is not to be used.
    package init(
        settings: SourceSettings, socketStore: any SocketKeeper, socketName: String, label: String,
        approve: @escaping @Sendable (RequestConnection) async throws -> Void = { _ in }
    ) {
        (self.settings, self.socketStore, self.socketName) = (settings, socketStore, socketName)
        (self.label, self.approve) = (label, approve)
    }

    /// - Throws: `SourceError`, and what `approve` throws.
    package func open() async throws -> RequestConnection {
        if let connection, await !connection.isBroken { return connection }
        let opened = try await settings.connect(label: label)
        do { try await approve(opened) } catch {
            _ = await opened.leave(within: Self.finWait)
            throw error
        }
        // Somebody else may have opened one meanwhile.
        if let connection, await !connection.isBroken {
            _ = await opened.leave(within: Self.finWait)
            return connection
        }
        if connection != nil { socketStore.release(name: socketName) }
        connection = opened
        if let descriptor = await opened.descriptor { socketStore.keep(descriptor, name: socketName) }
        return opened
    }

    /// FIN-first.
    package func close() async {
        guard let connection else { return }
        self.connection = nil
        _ = await connection.leave(within: Self.finWait)
        // One that was opened meanwhile has the same name.
        if self.connection == nil { socketStore.release(name: socketName) }
    }
}
