import Dragonfly

/// The events of a session. Flows, connections, background tasks and the clock report them from any thread; the session
/// handles one event after the other.
struct SessionEvents: Sendable {
    enum Event: Sendable {
        case flow(FlowEvent)
        case connection(FlowConnectionEvent)
        /// The clock's tick, once a second.
        case tick
        /// The source holds other data than its journal has brought.
        case dataReplaced(FullSyncReason)
        /// Time to check whether everything that was received is applied.
        case poll
        case pingFailed(any Error)
        /// The checkpoint was not where it should be.
        case checkpointMissing
        /// The findings of a poll of the target.
        case target(TargetWatch.Findings)
    }

    let stream: AsyncStream<Event>
    private let eventContinuation: AsyncStream<Event>.Continuation

    init() { (stream, eventContinuation) = AsyncStream.makeStream(of: Event.self) }

    func report(_ event: Event) { eventContinuation.yield(event) }
}
