import Link

/// Commands of a part of a `SlotWork` that must be sent with `ASKING` to the node to which their slot is moving.
///
/// Only the redirected commands may go there. The node would run any command about one key, even if the key is still at the
/// node that the slot is leaving, and so create a second copy of the key.
///
/// While a slot is leaving a node, its keys do not come back there. So later commands about a redirected key have been
/// redirected, too, and commands about other keys may be run before them. For a command with several keys it is unknown
/// which of them have moved, so everything after it is repeated.
///
/// Pure. Used only for parts without a transaction, whose commands may be repeated.
struct SlotDetour {
    /// A command of the detour, identified by its index in the work.
    struct Command {
        var place: CommandIndex
        /// The next command of the part; `nil` if it is the last one.
        var next: CommandIndex?
        var hasOneKey: Bool
    }

    let destination: Endpoint?
    private(set) var commands: [CommandIndex] = []
    /// Where the part continues after the detour; `nil` if everything else is done.
    private(set) var rest: CommandIndex?
    /// Whether everything that was sent after the last of the commands must be sent again.
    private(set) var isClosed = false

    init(to destination: Endpoint?, _ command: Command) {
        self.destination = destination
        add(command)
    }

    private mutating func add(_ command: Command) {
        commands.append(command.place)
        if !command.hasOneKey { (isClosed, rest) = (true, command.next) }
    }

    /// Takes the error reply of a later command of the part.
    ///
    /// - Returns: `false` if the error is a final answer and has nothing to do with the moving slot.
    mutating func met(_ text: String, by command: Command, _ reading: ClusterTopology.Reading) -> Bool {
        let redirection = ClusterRedirection(text, reading)
        if case .ask(_, let place)? = redirection, place == destination {
            add(command)
        } else if redirection != nil || TargetError.isTransientReply(text) {
            (isClosed, rest) = (true, command.place)
        } else {
            return false
        }
        return true
    }
}
