/// How often clients have called commands that change a whole data set, since the master's start or the last CONFIG
/// RESETSTAT.
package struct SourceCalls: Equatable, Sendable {
    /// Calls of FLUSHALL and FLUSHDB. When DFLY LOAD and DEBUG RELOAD empty a data set, the same record is journaled, but
    /// no call is counted.
    package var flushes: Int
    /// Calls of REPLICAOF, SLAVEOF and REPLTAKEOVER.
    package var roleChanges: Int

    package init(flushes: Int, roleChanges: Int) { (self.flushes, self.roleChanges) = (flushes, roleChanges) }
}
