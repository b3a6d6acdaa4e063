/// Compares both sides' keys with ordinary commands, continuously (`verify.keysPerSecond`) or when an operator requests it.
package struct Verifier: Sendable {
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
