/// Compares both sides' keys with ordinary commands: over and over (`verify.keysPerSecond`), and when an operator asks for it.
package struct Scrub: Sendable {
    /// A key that is different, time and again while nothing wrote to it.
    package struct Finding: Sendable {
        package var key: RefreshKey
        /// The target has it, and the source does not.
        package var isExtra: Bool

        package init(_ key: RefreshKey, isExtra: Bool) { (self.key, self.isExtra) = (key, isExtra) }
    }

    /// How far a pass has come, in keys of the source.
    package struct Progress: Equatable, Sendable {
        package var keys = 0
        package var expectedKeys = 0
        /// Keys that a policy leaves out: they do not differ.
        package var leftOut = 0

        package init(keys: Int, expectedKeys: Int, leftOut: Int = 0) {
            (self.keys, self.expectedKeys, self.leftOut) = (keys, expectedKeys, leftOut)
        }
    }

    package struct Failure: Error, Sendable, CustomStringConvertible {
        package let description: String
        /// Another attempt may succeed without anybody changing anything.
        package let isTransient: Bool
        /// The exit status of a command that ends for it.
        package let exitStatus: Int32

        package init(_ description: String, isTransient: Bool, exitStatus: Int32) {
            (self.description, self.isTransient, self.exitStatus) = (description, isTransient, exitStatus)
        }
    }

    /// Compares every key once; ends soon when it is cancelled.
    package var pass:
        @Sendable (
            _ keysPerSecond: Int, _ onFinding: @escaping @Sendable (Finding) -> Void,
            _ onProgress: @escaping @Sendable (Progress) -> Void
        ) async throws(Failure) -> Void

    package init(
        pass:
            @escaping @Sendable (
                Int, @escaping @Sendable (Finding) -> Void, @escaping @Sendable (Progress) -> Void
            ) async throws(Failure) -> Void
    ) {
        self.pass = pass
    }
}

/// A comparison of both sides that is over.
package struct FinishedPass: Equatable, Sendable {
    /// Unix time in milliseconds.
    package var at: Int64
    package var progress: Scrub.Progress
    /// Keys that were different.
    package var found: Int

    package init(at: Int64, progress: Scrub.Progress, found: Int) {
        (self.at, self.progress, self.found) = (at, progress, found)
    }
}

/// What has been compared since the process began.
package struct ScrubFigures: Equatable, Sendable {
    /// Times that every key has been compared.
    package var passes = 0
    /// Of the pass that is under way.
    package var progress = Scrub.Progress(keys: 0, expectedKeys: 0)
    /// How long the last whole pass took; `nil` before the first.
    package var lastPass: Duration?
    /// How long the one under way will take, as far as it is known.
    package var timeLeft: Duration?
    /// Keys that were different.
    package var found = 0
    /// Of those, keys that are to be read at the source.
    package var asked = 0
    /// Of those, keys that only the target has, in a database that others write to as well: they stay.
    package var foreign = 0
    /// Of those, keys of which it is not known which shard of the source has them.
    package var unplaced = 0
    /// Why nothing is compared at present, in words for an operator.
    package var obstacle: String?
    /// The last whole pass; `nil` before the first.
    package var finished: FinishedPass?

    package init() {}
}
