import Base
import Dragonfly

/// What the flows of the session at present have applied, for whoever asks at any moment.
final class LivePositions: Sendable {
    private let progress = Lock<[FlowProgress]>([])

    /// A session has got its flows.
    func follow(_ flows: [FlowProgress]) { progress.withLock { $0 = flows } }

    /// The next LSN of each flow that the target has not confirmed yet; `nil` before the stable stream.
    var nextLSNs: [LSN?] { progress.withLock { $0 }.map(\.appliedLSN) }
}
