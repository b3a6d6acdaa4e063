/// A command's place among those of a `SlotWork`.
package struct CommandIndex: Hashable, Sendable {
    let value: Int32

    init(_ place: Int) { value = Int32(place) }
}

/// A command of `SlotWork`, as it is sent.
struct SlotCommand {
    /// In the batch; `nil`: it is none of the batch's.
    var number: Int32?
    /// Encoded by `SlotCommands`, not by the batch.
    var isOwn: Bool
    var mayRepeat: Bool
    /// The server looks at one key, if at any, to find out where it belongs.
    var hasOneKey = true
    /// Where it is encoded.
    var range: Range<Int>
    /// The place of its reply among those that are kept; `nil`: its reply is not.
    var answer: Int32?
    var isSelect = false
    /// The one after it in its part; `nil`: it is the last one.
    var next: CommandIndex?
}
