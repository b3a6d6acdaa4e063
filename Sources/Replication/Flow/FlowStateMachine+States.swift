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

    /// How far the flow's bytes are decoded, and what the next of them wait for.
    enum Stream {
        /// Bytes may wait to be decoded.
        case readable
        /// All that has arrived is decoded.
        case exhausted
        /// The session prepares databases.
        case waitingForDatabases
        /// The target is asked for keys.
        case waitingForAnswers
        /// What comes before a global command is being applied.
        case beforeGlobal(GlobalCommand, transactionID: UInt64)
        /// Everything before it is applied; the flow waits for the others.
        case atGlobal
        /// What was decoded before a fault is being applied; then it ends.
        case ending(ReplicationError)
    }

    enum Link {
        case connecting(Connecting)
        case idle
        /// A batch with a command too large to keep is written while it is being built.
        case growing(CommandBatch, hasNews: Bool)
        /// Sealed batches are on their way.
        case sending(Flight)
    }

    enum Connecting {
        /// For the first time.
        case first
        /// With nothing on its way, as a target does that closes idle connections.
        case idle
        /// With a batch in doubt, after a loss.
        case inDoubt(CommandBatch, TargetError)
        /// The target has turned the batch away for a reason that passes.
        case turnedAway(CommandBatch)

        var batch: CommandBatch? {
            switch self {
            case .first, .idle: nil
            case .inDoubt(let batch, _), .turnedAway(let batch): batch
            }
        }
    }

    /// Whether somebody else works on the target, and nothing may be on its way meanwhile.
    enum Quiescence { case none, requested, quiet }

    /// How what has been received is applied: as it comes, or at once because the flow is to end.
    enum Pace { case normal, draining }

    /// What has been reported of the target.
    enum Reach { case found, lost }

    // MARK: Actions

    enum Action {
        /// Nothing is to be done before the next event.
        case wait
        /// `resume` is to be called then.
        case wake(after: Duration)
        /// Decode some of what has arrived, and say how it went (`decoded`).
        case decode
        /// The encoder's batch is to be sealed and sent (`sent`), unless it has to wait for its turn (`mustPace`).
        case send
        /// The batch, which was sent together with others, is to be sent again by itself (`sent`).
        case sendAgain(CommandBatch)
        /// The encoder's batch is to be sent while it grows (`began`).
        case begin
        /// The batch that is being written has grown.
        case grow
        /// The batch that is being written is complete (`sealed`).
        case seal
        /// Connect, after a wait or at once.
        case connect(ReconnectPlan)
        /// The batch that was in doubt has been applied: as if it had been completed.
        case confirmInDoubt(CommandBatch)
        /// The batch that was in doubt has not been applied, or may be repeated.
        ///
        /// - `words`: what the target said before the connection ended.
        case resend(CommandBatch, BatchTrial.Evidence, words: String?)
        /// The link broke while the batch was being written, and it was not kept.
        case failLong(CommandBatch, TargetError)
        /// Ask the target which keys it has; `decoded` follows.
        case probe
        /// Ask the session to prepare databases; `decoded` follows.
        case prepareDatabases
        case report(FlowEvent)
        /// Nothing is on its way, and nothing will be until `release`.
        case becameQuiet
        /// Everything received is applied, or nothing more will be.
        case drained
    }

    /// What of the encoder's batch there is.
    struct Fill: Equatable {
        /// It is to be sent before more is decoded.
        var isFull = false
        /// A command is written in pieces, and not complete.
        var isInCommand = false
        /// There are commands, or a position to note.
        var hasContent = false
        /// It may be sent while others of its kind are on their way (`joined`).
        var mayFollow = false
    }

    /// Why decoding has paused.
    enum Decoded {
        /// There may be more.
        case more
        case nothingMore
        case databases
        case halted(FlowEncoder.Halt)
    }
}
