/// What `SlotWork` has to do in one slot.
struct SlotPart {
    let slot: KeySlot
    var first: Int32 = -1
    var last: Int32 = -1
    var count: Int32 = 0
    var isTransaction = false
    /// The database that its last command is in. (A cluster may have several from Valkey 9 on; each slot is in all.)
    var database: UInt32 = 0
    var selects = false
    var state = SlotWork.State.ready
    /// What is sent begins with this command.
    var from: Int32 = -1
    /// Some of it may have been executed before.
    var isRepeated = false
    var outstanding: Int32 = 0
    /// Of the reply of an EXEC, the next element's command.
    var element: Int32 = -1
    /// What has been sent of it last are the commands of its detour.
    var isOnDetour = false
}
