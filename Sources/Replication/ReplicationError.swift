package import Dragonfly
import Link
package import Logging
package import Redis
package import Wire

/// Why replication ended: what went wrong, at which flow, in which phase, and the error underneath.
///
/// Whoever decides what comes next looks at `code` (`SessionHistory.next`, `ExitCode`); `description` is for people.
package struct ReplicationError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        case source(SourceError.Code)
        case target(TargetError.Code)
        /// The bytes of a flow cannot be decoded.
        case undecodable
        /// The source numbers its records as if some had come that have not.
        case recordsLost
        /// The source holds data that no record of its journal has brought.
        case dataReplaced
        /// A policy says stop.
        case policy
        /// Memory and disk for what the target has not taken are spent.
        case overflow
        /// The target's data are not what the checkpoint says: a full sync is needed.
        case targetChanged
        /// The stream itself asks for a new full sync.
        case resync
        /// A full sync is needed, and it is too early for another one.
        case postponed
        /// A file of ours.
        case file
        /// The operator must change the configuration.
        case configuration
        /// Clients write to the target, and not to the source any more.
        case cutOver
        /// A leave has cut short what was being waited for.
        case cancelled
        /// Nothing that anybody outside has done: a defect of df2redis.
        case defect
    }

    package let code: Code
    package let flow: FlowID?
    /// The error underneath; `nil` where there is none.
    package let cause: (any Error)?
    /// Where in the session's life it came up; `nil` outside of one.
    package private(set) var phase: SessionPhase?
    /// Why no later session may resume at the checkpoint; `nil` where one may.
    let resumeBlocker: FullSyncReason?
    /// What this error adds to its cause; empty where the cause says it all.
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

    /// The source's data set is another one than what the stream has brought.
    init(dataReplaced reason: FullSyncReason) {
        code = .dataReplaced
        flow = nil
        words = "a full sync is needed: \(reason)"
        cause = nil
        resumeBlocker = reason
    }

    /// A node of the target lacks what no record brings again.
    init(lackingNode words: String, flow: FlowID, _ reason: FullSyncReason) {
        (code, self.flow, self.words, cause) = (.targetChanged, flow, words, nil)
        resumeBlocker = reason
    }

    /// Gives an error of any layer its code. Whoever talks to the source throws a `SourceError`, so that what is left of
    /// requests and connections is about the target, and of the system about files. Anything else is a defect.
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

    /// The same error, in `phase` unless it has one.
    func during(_ phase: SessionPhase) -> ReplicationError {
        var error = self
        error.phase = self.phase ?? phase
        return error
    }

    /// The chain from here to the first cause.
    package var message: String {
        guard let cause else { return words }
        return words.isEmpty ? "\(cause)" : "\(words): \(cause)"
    }

    /// What a log line about this error carries besides its text; no cause that is the whole text.
    package var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = [:]
        if let flow { metadata["flow"] = "\(flow)" }
        if let phase { metadata["failedPhase"] = "\(phase.name)" }
        if let cause, !words.isEmpty { metadata["cause"] = "\(cause)" }
        return metadata
    }

    /// The chain with flow and phase.
    package var description: String {
        "\(flow.map { "flow \($0): " } ?? "")\(message)\(phase.map { " (\($0))" } ?? "")"
    }
}

extension ReplicationError.Code {
    /// What it means that a flow cannot be decoded.
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

    /// Another session may do better with nothing changed by hand.
    package var isTransient: Bool {
        switch code {
        case .source(let code): SourceError(code, "").isTransient
        case .target(let code): code.isTransient
        case .overflow, .targetChanged, .resync, .recordsLost, .dataReplaced, .postponed, .cancelled: true
        case .undecodable, .policy, .file, .configuration, .cutOver, .defect: false
        }
    }

    /// The peer says that it is loading its data.
    package var isLoading: Bool { code == .source(.loading) || code == .target(.loading) }

    /// What was received last is not to be applied.
    var forbidsApplying: Bool { [.policy, .undecodable, .recordsLost].contains(code) }
}
