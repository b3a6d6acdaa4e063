import Glibc
import Link
import Replication

/// The task's state as JSON, for other programs: replaced as a whole, so a reader never sees half of it.
struct StatusFile: Sendable {
    let path: String

    func write(_ status: ReplicationStatus, task: String, at time: Int64) throws(SystemError) {
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: temporary) }
        var bytes = Array(Self.json(status, task: task, at: time).utf8)
        let count = bytes.count
        let written = retryingInterrupts { Glibc.write(descriptor, &bytes, count) }
        let code = errno
        close(descriptor)
        guard written == count else { throw SystemError("write", errno: written < 0 ? code : ENOSPC, peer: temporary) }
        guard rename(temporary, path) == 0 else { throw SystemError("rename", errno: errno, peer: path) }
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
        return "{\"task\":\"\(task)\",\"time\":\(time),\"phase\":\"\(status.phase.rawValue)\","
            + "\"source\":\"\(status.source)\",\"target\":\"\(status.target)\",\"keys\":\(status.keys),"
            + "\"records\":\(status.records),\"receivedBytes\":\(status.receivedBytes),"
            + "\"appliedBytes\":\(status.appliedBytes),\"queuedBytes\":\(status.queuedBytes),"
            + "\"queuedDiskBytes\":\(status.spooledBytes),\"lagRecords\":\(lag(status.lagRecords)),"
            + "\"isLagEstimated\":\(lag(status.isLagEstimated)),\"lagBytes\":\(lag(status.lagBytes)),"
            + "\"lagSeconds\":\(lag(status.lag.tenths)),\"targetLost\":\(status.isTargetLost),"
            + "\"fullSyncs\":\(status.fullSyncs),"
            + "\"incidents\":{\(incidents.joined(separator: ","))},\"flows\":[\(flows.joined(separator: ","))]}\n"
    }
}
