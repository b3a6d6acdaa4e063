/// What a task that is cut over leaves in its checkpoint.
///
/// ```
/// 1796000000              the Unix time; the target has everything that the task had received
/// 1796000000 incomplete   the Unix time; the target lacks some of it
/// ```
package struct CutOverNote: Equatable, Sendable {
    private static let incomplete = "incomplete"

    package var seconds: Int64
    /// Everything that the task had received when it left is applied.
    package var isComplete: Bool

    package init(seconds: Int64, isComplete: Bool) {
        (self.seconds, self.isComplete) = (seconds, isComplete)
    }

    /// - Parameter text: unknown words after the time are ignored.
    package init?(_ text: String) {
        let words = text.split(separator: " ")
        guard let seconds = words.first.flatMap({ Int64($0) }) else { return nil }
        self.init(seconds: seconds, isComplete: !words.dropFirst().contains { $0 == Self.incomplete })
    }

    package var text: String { isComplete ? "\(seconds)" : "\(seconds) \(Self.incomplete)" }
}
