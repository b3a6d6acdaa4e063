import Link

/// Commands of a part of `SlotWork` that are to be sent with `ASKING` to the node where their slot is going, and no others: that
/// node would run any command about one key, also where the key is still at the node that the slot is leaving, and so make a
/// second one of it.
///
/// Keys that have left a node do not come back to it as long as the slot is leaving it. So a later command about the same key
/// has been redirected too, and one about another key may be done before. Of a command about several keys nobody knows which
/// of them were there: what follows it is repeated.
///
/// Pure. Of parts without a transaction, whose commands may be repeated.
struct SlotDetour {
    /// A command by its place among those of the work.
    struct Command {
        var place: CommandIndex
        /// `nil`: it is the last of its part.
        var next: CommandIndex?
        var hasOneKey: Bool
    }

    let destination: Endpoint?
    private(set) var commands: [CommandIndex] = []
    /// Where the part goes on after them; `nil`: all else is done.
    private(set) var rest: CommandIndex?
    /// What has been sent after the last of them is sent again.
    private(set) var isClosed = false

    init(to destination: Endpoint?, _ command: Command) {
        self.destination = destination
        add(command)
    }

    private mutating func add(_ command: Command) {
        commands.append(command.place)
        if !command.hasOneKey { (isClosed, rest) = (true, command.next) }
    }

    /// A command after them was answered by an error.
    ///
    /// - Returns: `false` for an error that is an answer.
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
