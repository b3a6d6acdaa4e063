import Wire

/// When an element's TTL ends, as its key's shadow has it: Unix milliseconds, with a half more where the source's end may be
/// any earlier one, since nobody saw when the command came that gave the TTL in seconds.
struct ElementDeadline: CommandArgument {
    let milliseconds: Int64
    let isExact: Bool

    /// - Parameters:
    ///   - isRelative: it is counted from when the command ran.
    ///   - window: when that was.
    init(_ milliseconds: Int64, isRelative: Bool, in window: ExecutionWindow) {
        self.milliseconds = milliseconds
        isExact = !isRelative || window.latest - window.earliest <= ElementExpiry.marginMilliseconds
    }

    init(inSeconds seconds: Int64, from window: ExecutionWindow) {
        self.init(window.deadline(inSeconds: seconds), isRelative: true, in: window)
    }

    func appendBulk(to buffer: inout ByteBuffer) {
        if isExact {
            buffer.appendBulk(decimal: milliseconds)
        } else {
            buffer.appendBulk(Array("\(milliseconds).5".utf8))
        }
    }
}
