import Redis
import Wire

/// Drops what is in a database that the target lacks.
final class TargetDatabaseStage: RecordStage {
    private let databaseCount: UInt32
    private let reports: EncoderReports

    init(_ context: FlowContext, _ reports: EncoderReports) {
        databaseCount = context.targetDatabases
        self.reports = reports
    }

    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        guard place.database >= databaseCount else { return .pass }
        reports.report(
            .database, subject: command.name.nameText, key: command.keyOrEmpty, database: place.database)
        return .drop
    }
}
