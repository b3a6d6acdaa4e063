package import Dragonfly
import Link
package import Redis

/// What to do where the data or the target leaves a choice.
package struct ReplicationPolicy: Equatable, Sendable {
    package enum Reaction: String, Sendable, CaseIterable { case stop, skip }
    package enum Conflict: String, Sendable, CaseIterable { case overwrite, skip, panic }
    package enum ElementExpiry: String, Sendable, CaseIterable {
        /// Kept beside the data and ended by this task, as long as it runs.
        case timer
        /// As data that has no equal: `onUnsupported`.
        case unsupported
    }

    /// The target refuses a command.
    package var onError = Reaction.stop
    /// The target has no equal for something.
    package var onUnsupported = Reaction.stop
    /// Databases of the source whose keys are left out.
    package var skippedDatabases: Set<UInt32> = []
    /// A key of the snapshot stands in the target already.
    package var onConflict = Conflict.overwrite
    /// TTLs of set members, and of hash fields where the target has none.
    package var elementExpiry = ElementExpiry.timer

    package init() {}
}

/// Why replication ended.
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
        /// A leave has cut short what was being waited for.
        case cancelled
        /// Nothing that anybody outside has done: a defect of df2redis.
        case defect
    }

    package let code: Code
    package let flow: FlowID?
    package let message: String
    /// Why no later session may go on at the checkpoint; `nil` where one may.
    let resumeBlocker: FullSyncReason?

    package init(_ code: Code, flow: FlowID? = nil, _ message: String) {
        self.code = code
        self.flow = flow
        self.message = message
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
        message = "a full sync is needed: \(reason)"
        resumeBlocker = reason
    }

    package init(_ error: any Error, flow: FlowID? = nil) {
        switch error {
        case let error as ReplicationError: self = error
        case let error as SourceError: self.init(.source(error.code), flow: flow, error.message)
        case let error as TargetError: self.init(.target(error.code), flow: flow, error.message)
        // Whoever talks to the source says so with a `SourceError`.
        case let error as RequestFailure: self.init(TargetError(error), flow: flow)
        case let error as SystemError: self.init(.file, flow: flow, "\(error)")
        case is CancellationError: self.init(.cancelled, flow: flow, "given up for the sake of a leave")
        default: self.init(.defect, flow: flow, "an error that nobody expects: \(error)")
        }
    }

    static let checkpointGone = ReplicationError(
        .targetChanged, "the target no longer holds this task's checkpoint: it was emptied")

    static func checkpointEvicted(_ policy: String) -> ReplicationError {
        ReplicationError(
            .targetChanged,
            "the target has evicted this task's checkpoint (maxmemory-policy \(policy)): set noeviction")
    }

    package var description: String { flow.map { "flow \($0): \(message)" } ?? message }
}
