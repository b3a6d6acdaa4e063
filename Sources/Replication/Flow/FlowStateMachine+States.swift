import Dragonfly
import Redis

extension FlowStateMachine {
    // MARK: States

    enum State {
        case active(Stream, Link)
        /// Nothing more is applied.
        case failed
        case closed
    }

    /// How far the flow's bytes are decoded, and what decoding waits for.
    enum Stream {
        /// Bytes may wait to be decoded.
        case readable
        /// Everything that has arrived is decoded.
        case exhausted
        /// Decoding waits until the session has prepared databases.
        case waitingForDatabases
        /// Decoding waits until the target has said which keys it has.
        case waitingForAnswers
        /// Everything before a global command is being applied.
        case beforeGlobal(GlobalCommand, transactionID: UInt64)
        /// Everything before the global command is applied; the flow waits for the other flows.
        case atGlobal
        /// Everything decoded before a fault is being applied; then the flow ends.
        case ending(ReplicationError)
    }

    enum Link {
        case connecting(Connecting)
        case idle
        /// A batch is written while it is being built, because it has a command too large to keep.
        case growing(CommandBatch, hasUnsent: Bool)
        /// Sealed batches are on their way to the target.
        case sending(BatchesInFlight)
    }

    enum Connecting {
        /// The flow connects for the first time.
        case first
        /// Nothing was on its way when the connection ended; a target may close idle connections.
        case idle
        /// A batch is in doubt, because its connection was lost.
        case inDoubt(CommandBatch, TargetError)
        /// The target has turned the batch away for a temporary reason.
        case temporarilyRefused(CommandBatch)

        var batch: CommandBatch? {
            switch self {
            case .first, .idle: nil
            case .inDoubt(let batch, _), .temporarilyRefused(let batch): batch
            }
        }
    }

    /// Whether another part works on the target, so that nothing may be on its way.
    enum Quiescence { case none, requested, quiet }

    /// How received data are applied: as they come, or at once because the flow is to end.
    enum Pace { case normal, draining }

    /// The last report about the target's availability.
    enum Availability { case available, unavailable }

    // MARK: Actions

    enum Action {
        /// Do nothing before the next event.
        case wait
        /// Call `resume` after this time.
        case wake(after: Duration)
        /// Decode some of the bytes that have arrived, and report the result (`decoded`).
        case decode
        /// Seal the encoder's batch and send it (`sent`, or `joined` if others are on their way), unless it has to wait for
        /// its turn (`mustPace`).
        case send
        /// Send the batch again by itself (`sent`); it was sent together with others before.
        case sendAgain(CommandBatch)
        /// Begin to send the encoder's batch while it grows (`began`).
        case begin
        /// Notify the target that the batch being written has grown.
        case grow
        /// Seal the batch being written, which is complete (`sealed`).
        case seal
        /// Connect, after a wait or at once.
        case connect(ReconnectPlan)
        /// Treat the batch that was in doubt as completed, because it has been applied.
        case confirmInDoubt(CommandBatch)
        /// Send the batch that was in doubt again, because it has not been applied or may be repeated.
        ///
        /// - `words`: what the target said before the connection ended.
        case resend(CommandBatch, BatchBisection.Evidence, words: String?)
        /// Fail, because the connection was lost while the batch, which was not kept, was being written.
        case failLong(CommandBatch, TargetError)
        /// Ask the target which keys it has; `decoded` follows.
        case probe
        /// Ask the session to prepare databases; `decoded` follows.
        case prepareDatabases
        case report(FlowEvent)
        /// Notify the waiters that nothing is on its way, and nothing will be until `release`.
        case becameQuiet
        /// Notify the waiters that everything received is applied, or that nothing more will be.
        case drained
    }

    /// The state of the batch that the encoder is building.
    struct BatchState: Equatable {
        /// The batch must be sent before more is decoded.
        var isFull = false
        /// A command is being written in pieces and is not complete.
        var isInCommand = false
        /// The batch has commands, or a position to note.
        var hasContent = false
        /// The batch may be sent while other unordered batches are on their way (`joined`).
        var mayFollow = false
    }

    /// Why decoding has paused.
    enum Decoded {
        /// There may be more to decode.
        case more
        case nothingMore
        case databases
        case halted(FlowEncoder.Halt)
    }
}
