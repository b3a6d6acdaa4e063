/// The progress of the work that a `SlotWork` has to do in one slot.
struct SlotPart {
    var state = SlotWork.State.ready
    /// The command from which the part is sent; `nil` for the first one.
    var from: CommandIndex?
    /// Whether some of the commands may have been executed before.
    var isRepeated = false
    var outstanding: Int32 = 0
    /// The command to which the next element of an EXEC's reply belongs; `nil` for the mark.
    var element: CommandIndex?
    /// Whether the commands that were sent last are those of the part's detour.
    var isOnDetour = false
}
