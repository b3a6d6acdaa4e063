import Base
import Dragonfly

/// The positions of the current session's flows, which can be read at any time.
final class LivePositions: Sendable {
    private let progress = Lock<[FlowProgress]>([])

    /// Switches to the flows of a new session.
    func follow(_ flows: [FlowProgress]) { progress.withLock { $0 = flows } }

    /// For each flow, the next LSN that the target has not confirmed yet; `nil` before the stable stream.
    var nextLSNs: [LSN?] { progress.withLock { $0 }.map(\.appliedLSN) }
}
