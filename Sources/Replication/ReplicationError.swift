package import Dragonfly
import Link
package import Logging
package import Redis
package import Wire

/// Why replication ended: the error, its flow, its phase, and the underlying error.
///
/// Code that decides what happens next uses `code` (`SessionHistory.next`, `ExitCode`); `description` is for people.
package struct ReplicationError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        case source(SourceError.Code)
        case target(TargetError.Code)
        /// The bytes of a flow cannot be decoded.
        case undecodable
        /// The source's record numbers show that it has left out records.
        case recordsLost
        /// The source holds data that no record of its journal has brought.
        case dataReplaced
        /// A policy requires a stop.
        case policy
        /// Memory and disk for what the target has not taken are full.
        case overflow
        /// The target's data do not match the checkpoint, so a full sync is needed.
        case targetChanged
        /// The stream itself requires a new full sync.
        case resync
        /// A full sync is needed, but it is too early for another one.
        case postponed
        /// One of df2redis' own files cannot be used.
        case file
        /// The operator must change the configuration.
        case configuration
        /// Clients now write to the target, no longer to the source.
        case cutOver
        /// A leave has interrupted a wait.
        case cancelled
        /// A defect of df2redis itself, not caused from outside.
        case defect
    }

    package let code: Code
    package let flow: FlowID?
    /// The underlying error; `nil` if there is none.
    package let cause: (any Error)?
    /// The phase of the session in which the error came up; `nil` outside of a session.
    package private(set) var phase: SessionPhase?
    /// Why no later session may resume at the checkpoint; `nil` if a session may.
    let resumeBlocker: FullSyncReason?
    /// What this error adds to its cause; empty if the cause says everything.
    private let words: String

    package init(_ code: Code, flow: FlowID? = nil, _ words: String, cause: (any Error)? = nil) {
        self.code = code
        self.flow = flow
        self.words = words
        self.cause = cause
        resumeBlocker =
            switch code {
            case .recordsLost: .recordsLost
            case .source(.replica): .wasReplica
            default: nil
            }
    }

    /// The source's data set is not the one that the stream has brought.
    init(dataReplaced reason: FullSyncReason) {
        code = .dataReplaced
        flow = nil
        words = "a full sync is needed: \(reason)"
        cause = nil
        resumeBlocker = reason
    }

    /// A node of the target lacks writes that no record will bring again.
    init(lackingNode words: String, flow: FlowID, _ reason: FullSyncReason) {
        (code, self.flow, self.words, cause) = (.targetChanged, flow, words, nil)
        resumeBlocker = reason
    }

    /// The target has not run a command of the stream that no record will bring again.
    init(losing error: TargetError, flow: FlowID) {
        code = .target(error.code)
        self.flow = flow
        words = ""
        cause = error
        resumeBlocker = .noPosition
    }

    /// Wraps an error of any layer and finds its code. All parts that talk to the source throw `SourceError`, so any other
    /// request error concerns the target, and any other system error concerns a file. Everything else is a defect.
    package init(_ error: any Error, flow: FlowID? = nil) {
        switch error {
        case let error as ReplicationError: self = error
        case let error as SourceError: self.init(.source(error.code), flow: flow, "", cause: error)
        case let error as TargetError where error.code == .changed:
            self.init(.targetChanged, flow: flow, "", cause: error)
        case let error as TargetError: self.init(.target(error.code), flow: flow, "", cause: error)
        case let error as RequestFailure: self.init(TargetError(error), flow: flow)
        case let error as SystemError: self.init(.file, flow: flow, "", cause: error)
        case is CancellationError: self.init(.cancelled, flow: flow, "given up for the sake of a leave")
        default: self.init(.defect, flow: flow, "unexpected error", cause: error)
        }
    }

    /// The same error with `phase`, unless it already has a phase.
    func during(_ phase: SessionPhase) -> ReplicationError {
        var error = self
        error.phase = self.phase ?? phase
        return error
    }

    /// The texts of this error and its causes.
    package var message: String {
        guard let cause else { return words }
        return words.isEmpty ? "\(cause)" : "\(words): \(cause)"
    }

    /// The metadata of a log line about this error. The cause is left out if it is already the whole text.
    package var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = [:]
        if let flow { metadata["flow"] = "\(flow)" }
        if let phase { metadata["failedPhase"] = "\(phase.name)" }
        if let cause, !words.isEmpty { metadata["cause"] = "\(cause)" }
        return metadata
    }

    /// The message with flow and phase.
    package var description: String {
        "\(flow.map { "flow \($0): " } ?? "")\(message)\(phase.map { " (\($0))" } ?? "")"
    }
}

extension ReplicationError.Code {
    /// The code for a flow that cannot be decoded.
    package init(_ error: WireError) {
        if case .noMemory = error { self = .source(.exhausted) } else { self = .undecodable }
    }
}

extension ReplicationError {
    static let checkpointGone = ReplicationError(
        .targetChanged, "the target no longer holds this task's checkpoint: it was emptied")

    static func checkpointEvicted(_ policy: String) -> ReplicationError {
        ReplicationError(
            .targetChanged,
            "the target has evicted this task's checkpoint (maxmemory-policy \(policy)): set noeviction")
    }

    /// Whether another session may succeed although nobody has changed anything.
    package var isTransient: Bool {
        switch code {
        case .source(let code): SourceError(code, "").isTransient
        case .target(let code): code.isTransient
        case .overflow, .targetChanged, .resync, .recordsLost, .dataReplaced, .postponed, .cancelled: true
        case .undecodable, .policy, .file, .configuration, .cutOver, .defect: false
        }
    }

    /// Whether the peer reports that it is loading its data.
    package var isLoading: Bool { code == .source(.loading) || code == .target(.loading) }

    /// Whether the data received last must not be applied.
    var forbidsApplying: Bool { [.policy, .undecodable, .recordsLost].contains(code) }
}
