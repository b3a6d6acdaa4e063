import Dragonfly

/// The hash in the target's database 0 that stores how far each flow has been applied.
///
/// ```
/// df2redis:checkpoint:<task>   flow:<n>  ->  stable <replication id> <number of flows> <next LSN>
///                                            snapshot <replication id> <sync id> <number of the batch>
///                              beside:<n> -> 17        batches that did not advance the position (`StreamMark`)
///                              databases ->  0,3        databases that the task has filled
///                              filling   ->  0:0,5:17   databases that its first full sync has begun to fill, each with the
///                                                       number of keys of others that were there before
///                              marked:<n> -> 1         database n has its mark (`DatabaseMark`); for 0 it is this field
///                              source    ->  <replication id>   the source that the task's keys were last made equal to
///                              counts    ->  0 12 <run id> 0 0   how the two sides' key counts differed (`DataSetNote`)
///                              reconcile ->  pending    a full sync has not removed the old keys yet
///                              stopped   ->  by policy  there is no position to resume at
///                              cutover   ->  1796000000  when the task was cut over; it does not start again
/// ```
/// A flow's field is written in the same transaction as the data that it covers. If a file keeps the position, the hash
/// holds at most the note on the import mode and `cutover`.
package struct CheckpointKey: Equatable, Sendable {
    package static let prefix = "df2redis:checkpoint:"

    package let name: String
    let task: String

    package init(task: String, prefix: String = prefix) { (name, self.task) = (prefix + task, task) }

    func field(_ flow: FlowID) -> String { "flow:\(flow)" }

    /// The field that marks a stop by policy: the task has written to the target, and there is no position to resume at.
    static let stopped = (field: "stopped", value: "by policy")

    /// The field that marks a task as cut over. Its value is a `CutOverNote`.
    package static let cutOverField = "cutover"
}
