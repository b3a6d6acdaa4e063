package import Dragonfly
import Redis
import Wire

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

    /// The field that marks a task as cut over. Its value is the time of the cut-over in seconds of Unix time.
    package static let cutOverField = "cutover"
}

/// The value of one flow's field.
package enum CheckpointValue: Equatable, Sendable {
    case stable(replicationID: String, flowCount: Int, next: LSN)
    case snapshot(replicationID: String, syncID: String, batch: UInt64)

    package var text: String {
        switch self {
        case .stable(let id, let flows, let next): "stable \(id) \(flows) \(next)"
        case .snapshot(let id, let sync, let batch): "snapshot \(id) \(sync) \(batch)"
        }
    }

    /// Parses a value. An earlier version wrote a zero before the LSN of every second batch that did not advance the
    /// position; such values are accepted.
    package init?(_ text: String) {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 4 else { return nil }
        switch words[0] {
        case "stable":
            guard let flows = Int(words[2]), let next = UInt64(words[3]), next < Limits.sequenceNumber else {
                return nil
            }
            self = .stable(replicationID: String(words[1]), flowCount: flows, next: LSN(next))
        case "snapshot":
            guard let batch = UInt64(words[3]) else { return nil }
            self = .snapshot(replicationID: String(words[1]), syncID: String(words[2]), batch: batch)
        default: return nil
        }
    }
}

extension ResumePoint {
    /// Creates the point from the fields of all flows; `nil` unless every flow has a stable position of the same master.
    package init?(checkpoint fields: [String: String]) {
        var positions: [Int: LSN] = [:]
        var origin: (id: String, flows: Int)?
        for (field, text) in fields where field.hasPrefix("flow:") {
            guard let flow = Int(field.dropFirst(5)),
                case .stable(let id, let flows, let next)? = CheckpointValue(text)
            else { return nil }
            if let origin, origin != (id, flows) { return nil }
            origin = (id, flows)
            positions[flow] = next
        }
        guard let origin, positions.count == origin.flows else { return nil }
        let nextLSNs = (0..<origin.flows).compactMap { positions[$0] }
        guard nextLSNs.count == origin.flows else { return nil }
        self.init(replicationID: origin.id, nextLSNs: nextLSNs)
    }
}

/// The fields of the checkpoint's hash other than positions.
struct TaskRecord: Equatable {
    static let databasesField = "databases"
    static let fillingField = "filling"
    static let markedPrefix = "marked:"
    static let reconcileField = "reconcile"
    static let sourceField = "source"

    /// Databases that the task has filled; `nil` if it has not completed a full sync.
    var databases: Set<UInt32>?
    /// Databases that an incomplete full sync has begun to fill, with the number of keys that were there before.
    var filling: [UInt32: Int] = [:]
    /// Databases that have a mark. If the mark of one is missing, that database has been emptied. For database 0 this field
    /// is the mark.
    var marked: Set<UInt32>
    /// A full sync brought its keys but ended before it had removed the old ones.
    var isReconciling: Bool
    /// The replication id of the source whose keys the target holds: the source of the last full sync that left no old
    /// keys, or the source of a session that resumed after it. It is kept even if the positions are removed.
    var source: String?

    init(_ fields: [String: String]) {
        databases = fields[Self.databasesField].map(Self.databases)
        marked = Set(fields.keys.filter(Self.isOfMark).compactMap { UInt32($0.dropFirst(Self.markedPrefix.count)) })
        filling = Self.filling(fields[Self.fillingField])
        isReconciling = fields[Self.reconcileField] != nil
        source = fields[Self.sourceField]
    }

    static func filling(_ text: String?) -> [UInt32: Int] {
        var filling: [UInt32: Int] = [:]
        for entry in text?.split(separator: ",") ?? [] {
            let numbers = entry.split(separator: ":")
            guard numbers.count == 2, let database = UInt32(numbers[0]) else { continue }
            // An unreadable number may mean keys of others.
            filling[database] = Int(numbers[1]) ?? 1
        }
        return filling
    }

    static func text(_ filling: [UInt32: Int]) -> String {
        filling.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: ",")
    }

    static func isOfMark(_ field: String) -> Bool { field.hasPrefix(markedPrefix) }

    /// The fields of the marks. Each is written once, together with its mark, so a hash that somebody has removed lacks
    /// them, whatever is written to it later.
    static func markFields(_ databases: Set<UInt32>) -> [(field: String, value: String)] {
        databases.sorted().map { (markedPrefix + "\($0)", "1") }
    }

    private static func databases(_ text: String) -> Set<UInt32> {
        Set(text.split(separator: ",").compactMap { UInt32($0) })
    }

    static func text(_ databases: Set<UInt32>) -> String { databases.sorted().map(String.init).joined(separator: ",") }
}
