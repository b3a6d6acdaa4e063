/// When a value that was read at the source may be put into the stream of its shard.
///
/// The source gives its shard's next LSN before a value is read and again after it. If no record of the stream from the
/// first up to the second one touches the key, the key had the value at every moment between; and it still has it at any
/// later place of the stream, as long as no record since has touched the key.
///
/// ```
/// records of the shard   ... 41   42   43   44   45 ...
///                           ▲              ▲
///                        before=42      after=44       true where the next record is 44, and at 45, 46 ... as long as
///                                                      neither 42, 43 nor a later one up to there touches the key
/// ```
/// A value, so that a test can show that another rule fails.
struct RefreshRule: Sendable {
    /// The next LSN of the shard, before the value was read and after it.
    struct Reading: Equatable, Sendable {
        var before: UInt64
        var after: UInt64
    }

    enum Verdict: Equatable, Sendable {
        /// The stream has not come to the reading yet.
        case wait
        /// The value is the key's where the stream is now.
        case write
        /// The key has changed meanwhile: it is to be read again.
        case stale
    }

    /// - Parameters:
    ///   - touch: the LSN of the last record that has touched the key since before it was asked for; `nil`: none has.
    ///   - next: the LSN of the stream's next record.
    var verdict: @Sendable (_ reading: Reading, _ touch: UInt64?, _ next: UInt64) -> Verdict

    static let exact = RefreshRule { reading, touch, next in
        if let touch, touch >= reading.before { return .stale }
        return next >= reading.after ? .write : .wait
    }
}
