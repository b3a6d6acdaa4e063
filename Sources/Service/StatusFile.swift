import Link
import Replication

/// The task's state as JSON, for other programs: replaced as a whole, so a reader never sees half of it.
struct StatusFile: Sendable {
    let path: String

    func write(_ status: ReplicationStatus, task: String, at time: Int64) throws(SystemError) {
        // What is a second old after a crash of the machine is of no use to anybody.
        try AtomicFile(path: path).write(Array(Self.json(status, task: task, at: time).utf8), isDurable: false)
    }

    static func json(_ status: ReplicationStatus, task: String, at time: Int64) -> String {
        func lsn(_ value: (some CustomStringConvertible)?) -> String { value.map { "\($0)" } ?? "null" }
        let isConnected = !status.flows.isEmpty
        func lag(_ value: some CustomStringConvertible) -> String { isConnected ? "\(value)" : "null" }
        let flows = status.flows.map { flow in
            "{\"flow\":\(flow.flow),\"keys\":\(flow.keys),\"records\":\(flow.records),"
                + "\"receivedBytes\":\(flow.receivedBytes),\"appliedBytes\":\(flow.appliedBytes),"
                + "\"queuedBytes\":\(flow.queuedBytes),\"queuedDiskBytes\":\(flow.spooledBytes),"
                + "\"decodedLSN\":\(lsn(flow.decodedLSN)),\"appliedLSN\":\(lsn(flow.appliedLSN)),"
                + "\"acknowledgedLSN\":\(lsn(flow.acknowledgedLSN)),\"lagRecords\":\(flow.lagRecords),"
                + "\"lagBytes\":\(flow.lagBytes),\"lagSeconds\":\(flow.lag.tenths)}"
        }
        let incidents = status.incidents.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }
        return "{\"task\":\(JSONText.quoted(task)),\"time\":\(time),\"phase\":\"\(status.phase.rawValue)\","
            + "\"source\":\(JSONText.quoted(status.source)),\"target\":\(JSONText.quoted(status.target)),\"keys\":\(status.keys),"
            + "\"records\":\(status.records),\"receivedBytes\":\(status.receivedBytes),"
            + "\"appliedBytes\":\(status.appliedBytes),\"queuedBytes\":\(status.queuedBytes),"
            + "\"queuedDiskBytes\":\(status.spooledBytes),\"lagRecords\":\(lag(status.lagRecords)),"
            + "\"isLagEstimated\":\(lag(status.isLagEstimated)),\"lagBytes\":\(lag(status.lagBytes)),"
            + "\"lagSeconds\":\(lag(status.lag.tenths)),\"targetLost\":\(status.isTargetLost),"
            + "\"fullSyncs\":\(status.fullSyncs),"
            + "\"incidents\":{\(incidents.joined(separator: ","))},\"flows\":[\(flows.joined(separator: ","))]}\n"
    }
}
