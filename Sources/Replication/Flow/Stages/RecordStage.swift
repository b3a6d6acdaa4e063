import Wire

/// One step of the line that a journal record goes down before it is commands of a batch.
///
/// | stage | drops or holds back |
/// |---|---|
/// | `TargetDatabaseStage` | what is in a database that the target lacks |
/// | `OwnershipStage` | copies that the source keeps in shards that do not own their key |
/// | `ConflictStage`, in a full sync | what would change keys that the target has of its own |
/// | `ReconcileStage` | nothing: it removes older values that a command would build on |
/// | `ReservedNamesStage` | what is done to df2redis' own names |
/// | `OtherDatabaseStage` | a MOVE or COPY to a database that the target lacks |
/// | `MemberTTLStage` | what gives members TTLs: it writes these itself |
/// | `RewriteStage` | what halts the flow |
///
/// A stage lives on its flow's queue, and shares with the others only what `FlowStages` names.
protocol RecordStage: AnyObject {
    func admit(_ command: borrowing JournalCommand, at place: RecordPlace) -> Admission
}

/// Where a record was found.
struct RecordPlace: Equatable {
    /// The one that the command ran in.
    var database: UInt32
    /// Within a full sync, where records have no LSN to count.
    var isInSnapshot = false
}

/// What a stage says of a record.
enum Admission: Equatable {
    /// The next stage is to see it.
    case pass
    /// The target does not get it, or not as it is.
    case drop
    /// It is in the batch, and no other stage is to see it.
    case written
    /// It takes effect later, or after a halt.
    case wait
}
