/// Decides when a value that was read at the source may be written into the stream of its shard.
///
/// The source returns its shard's next LSN before a value is read and again afterwards. If no record from the first LSN up
/// to, but not including, the second one touches the key, the key had that value at every moment in between. It still has
/// the value at any later position of the stream, as long as no record since has touched the key.
///
/// ```
/// records of the shard   ... 41   42   43   44   45 ...
///                           ▲              ▲
///                        before=42      after=44       valid where the next record is 44, and at 45, 46 ... as long as
///                                                      neither 42, 43 nor a later one up to there touches the key
/// ```
/// The rule is a value, so that a test can show that another rule fails.
struct RefreshRule: Sendable {
    /// The next LSN of the shard before and after the value was read.
    struct Reading: Equatable, Sendable {
        var before: UInt64
        var after: UInt64
    }

    enum Verdict: Equatable, Sendable {
        /// The stream has not reached the reading yet.
        case wait
        /// The value is the key's at the stream's current position.
        case write
        /// The key has changed meanwhile and must be read again.
        case stale
    }

    /// - Parameters:
    ///   - touch: the LSN of the last record that has touched the key since the watch began; `nil` if none has.
    ///   - next: the LSN of the stream's next record.
    var verdict: @Sendable (_ reading: Reading, _ touch: UInt64?, _ next: UInt64) -> Verdict

    static let exact = RefreshRule { reading, touch, next in
        if let touch, touch >= reading.before { return .stale }
        return next >= reading.after ? .write : .wait
    }
}
