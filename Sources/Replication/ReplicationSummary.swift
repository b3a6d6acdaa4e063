/// The result of a run.
package struct ReplicationSummary: Sendable {
    /// Keys that the last full sync has brought.
    package var keys = 0
    package var records = 0
    /// Keys of the last full sync that had expired.
    package var expiredKeys = 0
    /// Keys of the last full sync that the target already had.
    package var conflictingKeys = 0
    package var incidents: [String: Int] = [:]
    package var fullSyncs = 0
    /// A migration left before everything was applied, because it was asked to.
    package var isUnfinished = false

    package init() {}
}
