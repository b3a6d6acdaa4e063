/// The times between which a command ran on the source, in Unix milliseconds: not before `earliest`, and not after `latest`.
package struct ExecutionWindow: Equatable, Sendable {
    package var earliest: Int64
    package var latest: Int64

    package init(earliest: Int64, latest: Int64) { (self.earliest, self.latest) = (earliest, latest) }

    /// The latest time at which a TTL of `seconds` ends. The source counts in whole seconds.
    package func deadline(inSeconds seconds: Int64) -> Int64 { (latest / 1000 + seconds) * 1000 }
}
