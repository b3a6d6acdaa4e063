import Dragonfly
import Redis

/// The barrier at which all flows meet for a global command. The command runs once, when every flow has reached it
/// (Protocol 5.2).
///
/// The master runs these commands alone, so they have the same order in all flows. FLUSHSLOTS has no transaction id, so the
/// command itself is compared as well.
struct GlobalBarrier {
    enum Arrival: Equatable {
        case waiting
        /// All flows have arrived.
        case complete
        /// This flow is at another command than the others.
        case mismatch(expected: String, found: String)
    }

    private let flowCount: Int
    private var command: GlobalCommand?
    private var transactionID: UInt64 = 0
    private var arrived: Set<FlowID> = []

    init(flowCount: Int) { self.flowCount = flowCount }

    mutating func arrive(_ flow: FlowID, _ command: GlobalCommand, transactionID: UInt64) -> Arrival {
        if let expected = self.command, expected != command || self.transactionID != transactionID {
            return .mismatch(
                expected: "\(expected.name) of transaction \(self.transactionID)",
                found: "\(command.name) of transaction \(transactionID)")
        }
        self.command = command
        self.transactionID = transactionID
        arrived.insert(flow)
        return arrived.count == flowCount ? .complete : .waiting
    }

    /// Resets the barrier for the next command.
    mutating func reset() {
        command = nil
        arrived = []
    }
}
