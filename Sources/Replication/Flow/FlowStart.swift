package import Dragonfly
import Redis
import Wire

/// How a flow begins: all that its applier has to know before the first byte is decoded.
package struct FlowStart: Sendable {
    /// Keeps the target from expiring keys before the stream does.
    package struct Expiry: Sendable {
        /// Where the flow's deadlines are noted.
        package var folder: String
        /// Of the positions in there.
        package var origin: Int64
        /// `nil`: the target does not expire anything by itself.
        package var window: Duration?

        package init(folder: String, origin: Int64, window: Duration?) {
            (self.folder, self.origin, self.window) = (folder, origin, window)
        }
    }

    /// How the master answered this flow.
    package var mode: SessionStateMachine.FlowMode
    /// Where a continued flow begins; `nil` for a full sync.
    package var next: LSN?
    /// What had been written beside the stream by then.
    package var beside: UInt64 = 0
    /// Some of what follows `next` may have been applied; `setCatchUpEnd` says how far.
    package var mayRepeat = false
    /// Every other database is to be prepared before the flow writes to it; `nil`: none has to be.
    package var openDatabases: Set<UInt32>?
    /// Where a full sync remembers which keys it brings; `nil`: it does not.
    package var keyFolder: String?
    /// The full sync removes all other keys at its end.
    package var areKeysEssential = true
    /// Where a full sync remembers which of the target's own keys it protects; `nil`: none.
    package var conflictFolder: String?
    /// Keys that an earlier session has left with TTLs of elements, by database.
    package var elementKeys: [UInt32: [[UInt8]]] = [:]
    package var expiry: Expiry?

    /// The flow is a journal from its first byte on.
    var isContinued: Bool {
        if case .partial = mode { true } else { false }
    }

    var mark: StreamMark? { next.map { StreamMark(next: $0, beside: beside) } }

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
