import Redis
import Wire

/// Drops commands in a database that the target lacks or that is left out on purpose.
final class TargetDatabaseStage: RecordStage {
    private let context: FlowContext
    private let reports: EncoderReports

    init(_ context: FlowContext, _ reports: EncoderReports) {
        self.context = context
        self.reports = reports
    }

    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        if context.replicates(place.database) || command.isOfNoDatabase { return .pass }
        reports.reportLeftOut(
            place.database, subject: command.nameText, key: command.keyOrEmpty, database: place.database)
        // The target lacks the value of a MOVE or COPY to a database that is kept.
        command.forEachValueTransfer(in: place.database) { _, key, database in
            guard context.replicates(database) else { return }
            reports.refreshMissing(key, subject: command.nameText, from: place.database, database: database)
        }
        return .drop
    }
}

extension JournalCommand {
    /// Whether the command does the same in each database that a client may have selected.
    fileprivate var isOfNoDatabase: Bool { name == "FLUSHALL" || name == "DFLYCLUSTER" || name == "SCRIPT" }
}
