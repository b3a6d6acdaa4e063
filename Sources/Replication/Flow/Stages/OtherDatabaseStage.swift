import Redis
import Wire

/// Drops a MOVE or COPY to a database that the target lacks or that is left out on purpose. A moved key is removed from its
/// old database; the source of a copy stays.
final class OtherDatabaseStage: RecordStage {
    private let context: FlowContext
    private let builder: BatchBuilder
    private let reports: EncoderReports
    private let memberTTLs: MemberTTLStage?
    private let expiryGuard: ExpiryGuard?

    init(
        _ context: FlowContext, _ builder: BatchBuilder, _ reports: EncoderReports, memberTTLs: MemberTTLStage?,
        expiryGuard: ExpiryGuard?
    ) {
        self.context = context
        self.builder = builder
        self.reports = reports
        self.memberTTLs = memberTTLs
        self.expiryGuard = expiryGuard
    }

    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission {
        guard let other = command.otherDatabase, !context.replicates(other) else { return .pass }
        let key = command.keyOrEmpty
        reports.reportLeftOut(other, subject: command.nameText, key: key, database: place.database)
        if reports.halt == nil, command.moveDestination != nil {
            memberTTLs?.replace(key, database: place.database)
            expiryGuard?.removed(key, database: place.database)
            builder.batch.append("UNLINK", key)
        }
        return .drop
    }
}
