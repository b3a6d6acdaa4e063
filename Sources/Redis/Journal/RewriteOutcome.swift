/// The result of rewriting a record by `JournalRewriter`.
package enum RewriteOutcome: Equatable, Sendable {
    /// Commands were added to the batch.
    case written
    /// Commands were added to the batch; the key may differ from the source's from here on.
    case writtenDiverging(Divergence)
    /// There is nothing to do.
    case nothing
    /// Nothing was written, and the key may differ from here on.
    case skippedDiverging(Divergence)
    /// Everything except the named part was written.
    case writtenWithout(Unsupported)
    /// Nothing was written.
    case unsupported(Unsupported)
    case global(GlobalCommand)
}
