import Wire

/// One of the stages that a journal record passes before it becomes commands of a batch.
///
/// | stage | drops or holds back |
/// |---|---|
/// | `TargetDatabaseStage` | commands in a database that the target lacks |
/// | `OwnershipStage` | copies that the source keeps in shards that do not own their key |
/// | `ConflictStage`, in a full sync | commands that would change keys that the target already has |
/// | `ReconcileStage` | nothing: it removes older values that a command would build on |
/// | `ReservedNamesStage` | what commands do to df2redis' own names |
/// | `OtherDatabaseStage` | a MOVE or COPY to a database that the target lacks |
/// | `MemberTTLStage` | commands that give members TTLs: it writes these itself |
/// | `RewriteStage` | commands that halt the flow |
///
/// A stage lives on its flow's queue, and shares with other stages only what `FlowStages` names.
protocol RecordStage: AnyObject {
    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission
}

/// The place where a record was found.
struct RecordPlace: Equatable {
    /// The database in which the command ran.
    var database: UInt32
    /// Whether the record was found within a full sync, where records have no LSN to count.
    var isInSnapshot = false
}

/// A stage's decision about a record.
enum Admission: Equatable {
    /// The record goes to the next stage.
    case pass
    /// The target does not get the record, or not in this form.
    case drop
    /// The record is in the batch and goes to no other stage.
    case written
    /// The record takes effect later or after a halt.
    case wait
}
