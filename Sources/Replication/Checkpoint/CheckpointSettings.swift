/// How a task keeps its position.
package struct CheckpointSettings: Equatable, Sendable {
    package enum Store: Equatable, Sendable {
        /// In the target, in the same transaction as the data that it covers: exactly once.
        case target
        /// In a file, at this interval: at least once.
        case file(every: Duration)
    }

    package var store = Store.target
    /// Whether to resume at positions that an earlier process has left.
    package var isEnabled = true
    /// The prefix of the task's key in the target; the task's name follows it.
    package var keyPrefix = CheckpointKey.prefix
    /// The path of the file, also with `Store.target`, because the task may have used a file before. `nil` if there is
    /// none.
    package var path: String?
    /// The mark that gives up the position, wherever it is stored; `nil` if there is none.
    package var resyncMark: ResyncMark?

    package init() {}
}
