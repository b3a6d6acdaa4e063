/// The index of a command among the commands of a `SlotWork`.
package struct CommandIndex: Hashable, Sendable {
    let value: Int32

    init(_ place: Int) { value = Int32(place) }
}

/// A command of a `SlotWork` in the form in which it is sent.
struct SlotCommand {
    /// The command's number in the batch; `nil` if it is not a command of the batch.
    var number: Int32?
    /// Whether `SlotCommands` encodes the command rather than the batch.
    var isOwn: Bool
    var mayRepeat: Bool
    /// Whether the server looks at one key at most to find out where the command belongs.
    var hasOneKey = true
    /// Where the command is encoded.
    var range: Range<Int>
    /// The index of its reply among the kept replies; `nil` if its reply is not kept.
    var answer: Int32?
    var isSelect = false
    /// The next command of its part; `nil` if it is the last one.
    var next: CommandIndex?
}
