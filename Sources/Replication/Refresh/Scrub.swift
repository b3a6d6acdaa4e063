/// Compares both sides' keys with ordinary commands, continuously (`verify.keysPerSecond`) or when an operator requests it.
package struct Scrub: Sendable {
    /// A key that differed in repeated comparisons while nothing wrote to it.
    package struct Finding: Sendable {
        package var key: RefreshKey
        /// Whether only the target has the key.
        package var isExtra: Bool

        package init(_ key: RefreshKey, isExtra: Bool) { (self.key, self.isExtra) = (key, isExtra) }
    }

    /// The progress of a pass, in keys of the source.
    package struct Progress: Equatable, Sendable {
        package var keys = 0
        package var expectedKeys = 0
        /// Keys that a policy leaves out. They do not count as different.
        package var leftOut = 0

        package init(keys: Int, expectedKeys: Int, leftOut: Int = 0) {
            (self.keys, self.expectedKeys, self.leftOut) = (keys, expectedKeys, leftOut)
        }
    }

    package struct Failure: Error, Sendable, CustomStringConvertible {
        package let description: String
        /// Whether another attempt may succeed although nobody changes anything.
        package let isTransient: Bool
        /// The exit status of a command that ends because of the failure.
        package let exitStatus: Int32

        package init(_ description: String, isTransient: Bool, exitStatus: Int32) {
            (self.description, self.isTransient, self.exitStatus) = (description, isTransient, exitStatus)
        }
    }

    /// Compares every key once; ends soon after it is cancelled.
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

/// The comparisons since the process began.
package struct ScrubFigures: Equatable, Sendable {
    /// How many times every key has been compared.
    package var passes = 0
    /// The progress of the current pass.
    package var progress = Scrub.Progress(keys: 0, expectedKeys: 0)
    /// How long the last complete pass took; `nil` before the first.
    package var lastPass: Duration?
    /// How long the current pass will still take, if that is known.
    package var timeLeft: Duration?
    /// The number of keys that were different.
    package var found = 0
    /// The different keys that are read at the source.
    package var asked = 0
    /// The different keys that only the target has, in a database to which others write as well. They stay.
    package var foreign = 0
    /// The different keys whose shard at the source is not known.
    package var unplaced = 0
    /// Why nothing is compared at present, in words for an operator.
    package var obstacle: String?
    /// The last complete pass; `nil` before the first.
    package var finished: FinishedPass?

    package init() {}
}
