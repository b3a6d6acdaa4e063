/// What a master reports about its data set at one moment.
package struct SourceFigures: Equatable, Sendable {
    /// A data set is being loaded, from a file or from another master. Its keys leave no records.
    package var isLoading = false
    /// The number of keys by database. Expired keys are included until the master finds them.
    package var keys: [UInt32: Int] = [:]
    /// The next LSN of each shard, requested after the keys were counted; empty while a data set is being loaded.
    package var nextLSNs: [LSN] = []

    package init() {}
}
