/// A command of `SlotWork`, as it is sent.
struct SlotCommand {
    /// In the batch; -1: none of the batch's.
    var number: Int32
    /// Encoded, in the batch or in `own`.
    var start: Int
    var end: Int
    var isOwn: Bool
    var mayRepeat: Bool
    /// The server looks at one key, if at any, to find out where it belongs.
    var hasOneKey = true
    var isSelect = false
    /// Of the replies that are kept; -1: its own is not.
    var answer: Int32 = -1
    var next: Int32 = -1
}
