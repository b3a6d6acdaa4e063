/// Between which times a command ran on the source, in Unix milliseconds: not before `earliest`, not after `latest`.
package struct ExecutionWindow: Equatable, Sendable {
    package var earliest: Int64
    package var latest: Int64

    package init(earliest: Int64, latest: Int64) { (self.earliest, self.latest) = (earliest, latest) }

    /// When a TTL of so many seconds ends, at the latest. The source counts in whole seconds.
    package func deadline(inSeconds seconds: Int64) -> Int64 { (latest / 1000 + seconds) * 1000 }
}
