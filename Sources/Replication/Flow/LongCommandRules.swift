import Dragonfly
import Redis
import Wire

/// Handles a command that is written to the target while it is being built, and is not kept.
struct LongCommandRules {
    private let flow: FlowID
    private let limits: KnownTargetLimits

    init(_ flow: FlowID, limits: KnownTargetLimits) {
        self.flow = flow
        self.limits = limits
    }

    /// Takes the commands before the long one out of `batch` if both together exceed the target's limit.
    ///
    /// - Parameter database: the database that is selected at the end of the batch.
    /// - Returns: a batch to be sealed and sent first; `nil` if the batch can be sent as it is.
    func takeCommandsAhead(in batch: CommandBatch, database: UInt32) -> CommandBatch? {
        guard let limit = limits.limits.transactionBytes, let command = batch.longCommand,
            batch.bytes.count + command.argumentBytes + TargetLimits.frameBytes > limit
        else { return nil }
        return batch.takeCommandsBeforeLongOne(in: database)
    }

    /// Reports that the connection ended in the middle of the command.
    ///
    /// - Returns: the error that ends the session. The next session recognizes the command by its size.
    func lost(_ batch: CommandBatch, _ error: TargetError) -> ReplicationError {
        let name = batch.longCommand.map { "\($0.label) of \($0.argumentBytes) bytes," } ?? "a value"
        if let command = batch.longCommand {
            limits.lost(command.label, argumentBytes: command.argumentBytes, isBlamed: error.blamesRequest)
        }
        return .init(.targetChanged, flow: flow, "\(error), in the middle of \(name) too large to send again")
    }
}
