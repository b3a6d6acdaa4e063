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
