/// The comparisons since the process began.
package struct VerifierFigures: Equatable, Sendable {
    /// How many times every key has been compared.
    package var passes = 0
    /// The progress of the current pass.
    package var progress = Verifier.Progress(keys: 0, expectedKeys: 0)
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
