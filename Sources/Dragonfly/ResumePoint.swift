/// The position at which a master's streams can be resumed: its replication id and the next LSN of every flow, as one unit.
package struct ResumePoint: Equatable, Sendable {
    package var replicationID: String
    /// By flow number.
    package var nextLSNs: [LSN]

    package init(replicationID: String, nextLSNs: [LSN]) {
        self.replicationID = replicationID
        self.nextLSNs = nextLSNs
    }
}
