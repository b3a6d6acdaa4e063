/// Holds a flow back before the first thing that it writes to a database, until the session has prepared that database:
/// noted that the task fills it, and, in a full sync, emptied it if it is to be.
struct DatabaseGate {
    private var open: Set<UInt32> = []
    private var closed: Set<UInt32> = []
    private var unreported: [UInt32] = []

    /// - Parameter open: databases that are prepared.
    init(open: Set<UInt32> = []) { self.open = open }

    /// Nothing may be sent, or decoded, at present.
    var isClosed: Bool { !closed.isEmpty }

    /// The flow is going to write to `database`.
    mutating func touch(_ database: UInt32) {
        guard !open.contains(database), closed.insert(database).inserted else { return }
        unreported.append(database)
    }

    /// Databases that have not been reported to the session.
    mutating func takeUnreported() -> [UInt32] {
        defer { unreported = [] }
        return unreported
    }

    mutating func open(_ database: UInt32) {
        open.insert(database)
        closed.remove(database)
    }
}
