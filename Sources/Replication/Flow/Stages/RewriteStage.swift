import Dragonfly
import Redis
import Wire

/// The last stage: writes a record as commands that Redis understands (`JournalRewriter`), and reports what the target
/// cannot hold as the source does.
final class RewriteStage: RecordStage {
    private var rewriter: JournalRewriter
    private let builder: BatchBuilder
    private let reports: EncoderReports
    private let position: StreamPosition

    init(
        _ rewriter: JournalRewriter, _ builder: BatchBuilder, _ reports: EncoderReports, _ position: StreamPosition,
        isSnapshotComplete: Bool
    ) {
        self.rewriter = rewriter
        self.builder = builder
        self.reports = reports
        self.position = position
        self.rewriter.isInSnapshot = !isSnapshotComplete
    }

    /// How the source behaves, as far as its version decides what it journals.
    var source: SourceBehaviour {
        get { rewriter.source }
        set { rewriter.source = newValue }
    }

    /// Notes that the oldest of the bytes decoded next arrived at `time`, by the source's clock.
    func setOldestArrival(_ time: Int64) { rewriter.oldestArrival = time }

    /// Notes that the snapshot is complete, so every key that a command reads has arrived.
    func completeSnapshot() { rewriter.isInSnapshot = false }

    /// Whether a snapshot's value with this deadline had expired when it was sent.
    func hadPassed(_ deadline: Int64) -> Bool { rewriter.hadPassed(deadline, now: position.arrival) }

    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        let outcome = rewriter.rewrite(command, database: place.database, now: position.arrival, into: builder.batch)
        if case .global(let global) = outcome {
            reports.halt(
                place.isInSnapshot ? .restart(global) : .global(global, transactionID: command.transactionID))
            return .wait
        }
        report(outcome, of: command, at: place)
        // Nothing was written, so nothing may follow it.
        return outcome == .skippedDiverging(.crossSlot) ? .drop : .written
    }

    /// Reports what `outcome` says of `command`.
    func report(_ outcome: RewriteOutcome, of command: borrowing JournalCommand, at place: RecordPlace) {
        let database = place.database
        switch outcome {
        case .written: refreshLateExpiry(of: command, at: place)
        case .nothing, .global: break
        case .writtenDiverging(let divergence) where divergence.isUnlikely && reports.canRefresh:
            reports.refresh(command.keyOrEmpty, database: database)
        case .writtenDiverging(let divergence)
        where command.name.hasPrefix("GEORADIUS") || command.name == "SORT":
            reports.report(
                divergence, subject: command.nameText, key: command.storedKey, database: database)
        case .skippedDiverging(.sortByPattern):
            reports.report(
                .sortByPattern, subject: command.nameText, key: command.storedKey, database: database)
        case .writtenDiverging(let divergence):
            reports.report(divergence, subject: command.nameText, key: command.keyOrEmpty, database: database)
        case .skippedDiverging(.crossSlot): reportCrossing(command, database: database)
        case .skippedDiverging(.expiryInThePast):
            reports.report(
                .expiryInThePast, subject: command.nameText, key: command.keyOrEmpty, database: database)
        case .skippedDiverging(let divergence):
            // In a fragment, every argument that is not an option may be a key that the command has written.
            var arguments = command.arguments
            _ = arguments.next()
            while let argument = arguments.next() {
                if argument.isSortWord { continue }
                reports.report(divergence, subject: command.nameText, key: argument, database: database)
            }
        case .writtenWithout(let unsupported):
            reports.report(unsupported, subject: command.nameText, key: command.keyOrEmpty, database: database)
        case .unsupported(let unsupported):
            reports.report(unsupported, subject: command.nameText, key: command.keyOrEmpty, database: database)
            if reports.halt == nil, unsupported.takesTheKey, command.argumentCount > 1 {
                builder.removeReplaced(command.argument(at: 1))
            }
        }
    }

    /// Has a key read at the source whose RESTORE has a relative TTL and may have been written long before it arrived.
    private func refreshLateExpiry(of command: borrowing JournalCommand, at place: RecordPlace) {
        guard position.isCatchingUp, !place.isInSnapshot, command.name == "RESTORE", command.hasRelativeExpiry else {
            return
        }
        reports.refresh(command.keyOrEmpty, database: place.database)
    }

    /// Reports a command that is left out because its keys are in several slots. Each key that it changes is read.
    private func reportCrossing(_ command: borrowing JournalCommand, database: UInt32) {
        let subject = command.nameText
        var isReported = false
        command.forEachChangedKey { key in
            if isReported { return reports.refresh(key, database: database) }
            reports.report(.crossSlot, subject: subject, key: key, database: database)
            isReported = true
        }
    }
}

extension JournalCommand {
    /// The maximum number of keys in all databases together that the command can add or remove, not counting commands on
    /// whole databases.
    var keyChangeLimit: Int {
        let isOfMany = name == "DEL" || name == "UNLINK" || name.hasPrefix("MSET") || name == "JSON.MSET"
        return isOfMany ? argumentCount : 2
    }

    /// The argument after the last STORE or STOREDIST; the first key if there is none.
    fileprivate var storedKey: RawSpan {
        @_lifetime(copy self)
        get {
            for place in stride(from: argumentCount - 2, to: 1, by: -1) {
                let word = argument(at: place)
                if word.isWord("STORE") || word.isWord("STOREDIST") { return argument(at: place + 1) }
            }
            return keyOrEmpty
        }
    }

    /// The first key; empty if there is none.
    var keyOrEmpty: RawSpan {
        @_lifetime(copy self)
        get {
            let place = name == "XGROUP" ? 2 : 1
            return argumentCount > place ? argument(at: place) : payload.extracting(first: 0)
        }
    }
}
