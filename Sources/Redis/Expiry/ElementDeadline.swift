import Wire

/// The time at which an element's TTL ends, as its key's shadow stores it, in Unix milliseconds.
///
/// Half a millisecond is added if the TTL may end earlier at the source, because it is given in seconds and it is unknown
/// exactly when its command ran.
struct ElementDeadline: CommandArgument {
    let milliseconds: Int64
    let isExact: Bool

    /// - Parameters:
    ///   - isRelative: whether the deadline is counted from the time at which the command ran.
    ///   - window: when the command ran.
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
            buffer.appendBulk("\(milliseconds).5".bytes)
        }
    }
}
