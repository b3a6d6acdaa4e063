import Base
import NIOCore

/// The open connections of a server, which are closed when it stops.
///
/// A connection that is set up but never handled crashes the process (`NIOAsyncWriter`). A server that stops therefore sets
/// up no more connections, and waits until the existing ones are handled.
final class OpenConnections: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        /// The number of connections that are not handled yet.
        var unhandled = 0
        var isStopping = false
    }

    private static let pause = Duration.milliseconds(5)
    private static let handlingLimit = Duration.seconds(1)

    private let state = Lock(State())

    var count: Int { state.withLock { $0.channels.count } }

    /// - Returns: `false` if the server stops and takes no more connections.
    func insert(_ channel: any Channel) -> Bool {
        let isTaken = state.withLock { state in
            if state.isStopping { return false }
            state.channels[ObjectIdentifier(channel)] = channel
            state.unhandled += 1
            return true
        }
        if isTaken {
            channel.closeFuture.whenComplete { [self] _ in
                state.withLock { $0.channels[ObjectIdentifier(channel)] = nil }
            }
        }
        return isTaken
    }

    /// Call this when an inserted connection is handled, or when its setup has failed.
    func noteHandled() { state.withLock { $0.unhandled -= 1 } }

    /// Takes no more connections, and waits until those that were taken are handled.
    func stop() async {
        state.withLock { $0.isStopping = true }
        let deadline = ContinuousClock.now + Self.handlingLimit
        while state.withLock({ $0.unhandled > 0 }), ContinuousClock.now < deadline {
            try? await Task.sleep(for: Self.pause)
        }
    }

    func closeAll() {
        for channel in state.withLock({ Array($0.channels.values) }) { channel.close(promise: nil) }
    }
}
