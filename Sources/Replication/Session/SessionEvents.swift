import Dragonfly

/// What happens to a session. Flows, connections, side tasks and the clock report here, from any thread; the session
/// handles one event after the other.
struct SessionEvents: Sendable {
    enum Event: Sendable {
        case flow(FlowEvent)
        case connection(FlowConnectionEvent)
        /// Once a second.
        case tick
        /// The source holds other data than its journal has brought.
        case dataReplaced(FullSyncReason)
        /// Check whether what was received is applied.
        case poll
        case pingFailed(any Error)
        /// The checkpoint was not where it should be.
        case checkpointMissing
        /// What a poll of the target has found.
        case target(TargetWatch.Findings)
    }

    let stream: AsyncStream<Event>
    private let eventContinuation: AsyncStream<Event>.Continuation

    init() { (stream, eventContinuation) = AsyncStream.makeStream(of: Event.self) }

    func report(_ event: Event) { eventContinuation.yield(event) }
}
