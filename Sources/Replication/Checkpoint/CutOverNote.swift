/// What a task that is cut over leaves in its checkpoint.
///
/// ```
/// 1796000000              when, in Unix time; the target has all that the task had received
/// 1796000000 incomplete   it does not
/// ```
package struct CutOverNote: Equatable, Sendable {
    private static let incomplete = "incomplete"

    package var seconds: Int64
    /// Everything that the task had received when it left is applied.
    package var isComplete: Bool

    package init(seconds: Int64, isComplete: Bool) {
        (self.seconds, self.isComplete) = (seconds, isComplete)
    }

    /// - Parameter text: what is not known after the time is left out.
    package init?(_ text: String) {
        let words = text.split(separator: " ")
        guard let seconds = words.first.flatMap({ Int64($0) }) else { return nil }
        self.init(seconds: seconds, isComplete: !words.dropFirst().contains { $0 == Self.incomplete })
    }

    package var text: String { isComplete ? "\(seconds)" : "\(seconds) \(Self.incomplete)" }
}
