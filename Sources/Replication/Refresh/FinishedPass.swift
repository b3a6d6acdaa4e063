/// A finished comparison of both sides.
package struct FinishedPass: Equatable, Sendable {
    /// The Unix time in milliseconds.
    package var at: Int64
    package var progress: Scrub.Progress
    /// The number of keys that were different.
    package var found: Int

    package init(at: Int64, progress: Scrub.Progress, found: Int) {
        (self.at, self.progress, self.found) = (at, progress, found)
    }
}
