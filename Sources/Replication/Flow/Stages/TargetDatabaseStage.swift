import Redis
import Wire

/// Drops what is in a database that the target lacks, or that is left out on purpose.
final class TargetDatabaseStage: RecordStage {
    private let context: FlowContext
    private let reports: EncoderReports

    init(_ context: FlowContext, _ reports: EncoderReports) {
        self.context = context
        self.reports = reports
    }

    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        guard !context.keeps(place.database) else { return .pass }
        reports.reportLeftOut(
            place.database, subject: command.nameText, key: command.keyOrEmpty, database: place.database)
        return .drop
    }
}
