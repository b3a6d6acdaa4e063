/// How far what `SlotWork` has to do in one slot has come.
struct SlotPart {
    var state = SlotWork.State.ready
    /// What is sent begins with this command; `nil`: with the first one.
    var from: CommandIndex?
    /// Some of it may have been executed before.
    var isRepeated = false
    var outstanding: Int32 = 0
    /// The command that the next element of an EXEC's reply is of; `nil`: the mark.
    var element: CommandIndex?
    /// What has been sent of it last are the commands of its detour.
    var isOnDetour = false
}
