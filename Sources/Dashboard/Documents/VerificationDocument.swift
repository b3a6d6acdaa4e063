package import Replication

package typealias VerificationAnswer = OperatorRequestAnswer<VerificationDocument>

/// A comparison of both sides that an operator requested: the answer of `/api/verify`, also part of the status.
package struct VerificationDocument: JSONDocument, Equatable {
    /// The number of this pass in the process, from 1.
    package var number: Int
    package var state: Verification.Phase
    /// Whether the pass was running already when it was requested; `nil` in a status.
    package var joined: Bool?
    package var keysPerSecond: Int
    package var keys: Int
    package var expectedKeys: Int
    /// Keys that were different.
    package var found: Int
    /// Of those, keys that only the target has, in a database that others write to as well: they stay.
    package var foreign: Int
    /// Of those, keys whose shard at the source is unknown.
    package var unplaced: Int
    /// Of those, keys that the queue had no room for.
    package var leftOut: Int
    /// Keys that a policy leaves out; they did not differ.
    package var leftOutByPolicy: Int
    package var waiting: Int
    package var changing: Int
    package var failed: Int
    /// Keys that differed and could not be mended.
    package var remaining: Int
    /// Why the comparison is not possible at present, or why it failed.
    @OrNull package var failure: String?
    /// The exit code that goes with `failure`.
    package var exitStatus: Int32
    /// In Unix seconds; `nil` while the pass runs.
    @OrNull package var finishedAt: Int64?

    package init(_ figures: Verification.Figures, isJoined: Bool? = nil) {
        number = figures.number
        state = figures.phase
        joined = isJoined
        keysPerSecond = figures.keysPerSecond
        keys = figures.progress.keys
        expectedKeys = figures.progress.expectedKeys
        found = figures.found
        foreign = figures.foreign
        unplaced = figures.unplaced
        leftOut = figures.leftOut
        leftOutByPolicy = figures.progress.leftOut
        waiting = figures.waiting
        changing = figures.changing
        failed = figures.failed
        remaining = figures.remaining
        exitStatus = figures.exitStatus
        failure = figures.failure
        finishedAt = figures.finishedAt.map { $0 / 1000 }
    }
}
