/// Holds a flow back before its first write to a database until the session has prepared the database: the session notes
/// that the task fills it and, in a full sync, empties it if configured.
struct DatabaseGate {
    private var open: Set<UInt32> = []
    private var closed: Set<UInt32> = []
    private var unreported: [UInt32] = []

    /// - Parameter open: databases that are already prepared.
    init(open: Set<UInt32> = []) { self.open = open }

    /// Whether a database has yet to be prepared, so that nothing may be sent or decoded.
    var isClosed: Bool { !closed.isEmpty }

    /// Notes that the flow is going to write to `database`.
    mutating func touch(_ database: UInt32) {
        guard !open.contains(database), closed.insert(database).inserted else { return }
        unreported.append(database)
    }

    /// Returns databases that have not been reported to the session yet.
    mutating func takeUnreported() -> [UInt32] {
        defer { unreported = [] }
        return unreported
    }

    mutating func open(_ database: UInt32) {
        open.insert(database)
        closed.remove(database)
    }
}
