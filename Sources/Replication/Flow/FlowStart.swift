package import Dragonfly
import Redis
import Wire

/// How a flow begins: everything that its applier must know before the first byte is decoded.
package struct FlowStart: Sendable {
    /// The settings that keep the target from expiring keys before the stream does.
    package struct Expiry: Sendable {
        /// The folder where the flow's deadlines are noted.
        package var folder: String
        /// A digest of the replication ID and the flow count to which the notes belong.
        package var origin: Int64
        /// The guard window; `nil` if the target does not expire anything by itself.
        package var window: Duration?

        package init(folder: String, origin: Int64, window: Duration?) {
            (self.folder, self.origin, self.window) = (folder, origin, window)
        }
    }

    /// How the master answered this flow.
    package var mode: SessionStateMachine.FlowMode
    /// The LSN at which a continued flow begins; `nil` for a full sync.
    package var next: LSN?
    /// The count of out-of-stream batches of the mark at `next`.
    package var outOfStreamCount: UInt64 = 0
    /// Whether some of what follows `next` may have been applied; `setCatchUpEnd` says how far.
    package var mayRepeat = false
    /// The databases that are prepared; every other one must be prepared before the flow writes to it. `nil` if none has to
    /// be.
    package var openDatabases: Set<UInt32>?
    /// The folder where the flow remembers which keys it brings; `nil` if it does not remember them.
    package var keyFolder: String?
    /// Whether the full sync needs to remember its keys, because it removes all others at its end.
    package var areKeysEssential = true
    /// The folder where a full sync remembers which keys of the target it protects; `nil` if it protects none.
    package var conflictFolder: String?
    /// Keys with TTLs of elements that an earlier session has left, by database.
    package var elementKeys: [UInt32: [[UInt8]]] = [:]
    package var expiry: Expiry?

    /// Whether the flow is a journal from its first byte on.
    var isContinued: Bool {
        if case .partial = mode { true } else { false }
    }

    var mark: StreamMark? { next.map { StreamMark(next: $0, outOfStreamCount: outOfStreamCount) } }

    var decoder: FlowDecoder {
        switch mode {
        case .full(let token): FlowDecoder(snapshotToken: token)
        case .partial: FlowDecoder(journalWithMaxRecordBytes: 1 << 30)
        }
    }

    package init(mode: SessionStateMachine.FlowMode, next: LSN? = nil) {
        (self.mode, self.next) = (mode, next)
    }
}
