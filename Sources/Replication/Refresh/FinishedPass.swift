/// A finished comparison of both sides.
package struct FinishedPass: Equatable, Sendable {
    /// The Unix time in milliseconds.
    package var at: Int64
    package var progress: Verifier.Progress
    /// The number of keys that were different.
    package var found: Int

    package init(at: Int64, progress: Verifier.Progress, found: Int) {
        (self.at, self.progress, self.found) = (at, progress, found)
    }
}
