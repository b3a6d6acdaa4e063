import Wire

/// The data that a comparison reads: a single server, or a cluster as a whole.
package protocol ComparedServer {
    /// The databases that hold keys.
    func databases() throws -> [Int]
    /// The number of keys in all databases.
    func keyCount() throws -> Int
    func select(_ database: Int) throws
    /// Calls `body` with the keys of the selected database in batches; a key may come more than once.
    func scan(_ body: ([[UInt8]]) throws -> Void) throws
    /// Returns the entries of `keys`, `nil` for those that do not exist.
    func read(_ keys: [[UInt8]]) throws -> [ServerData.Entry?]
}

extension DataReader: ComparedServer {}

/// Reads a cluster: its keys from all masters, each value from the node that serves its slot.
///
/// Use it only while no slots move: a slot that is handed over meanwhile is an error.
package final class ClusterReader: ComparedServer {
    private let clients: [String: RESPClient]
    private let readers: [String: DataReader]
    private let owners: [String]
    /// Whether the cluster has the selected database.
    private var isThere = true
    /// Keys that a scan has found on a node that does not serve their slot.
    package private(set) var strays: [(key: [UInt8], address: String)] = []

    package init(_ cluster: RedisCluster, timeout: Duration = .seconds(30)) throws {
        let view = try cluster.view()
        owners = try (0..<RedisCluster.slotCount).map { slot in
            guard let owner = view.owner(of: slot) else { throw LabError("nobody serves slot \(slot)") }
            return owner
        }
        var clients: [String: RESPClient] = [:]
        for master in view.masters {
            guard let node = cluster.node(master.id) else { throw LabError("\(master.id) is no node of ours") }
            clients[master.id] = try node.client(timeout: timeout)
        }
        self.clients = clients
        readers = clients.mapValues { DataReader($0) }
    }

    package func databases() throws -> [Int] {
        try Array(Set(readers.values.flatMap { try $0.databases() })).sorted()
    }

    package func keyCount() throws -> Int { try readers.values.reduce(0) { try $0 + $1.keyCount() } }

    package func select(_ database: Int) throws {
        // A cluster refuses the number of a database that it does not have (most have only one), and has no keys there.
        let replies = try clients.values.map { try $0.send(["SELECT", "\(database)"].map { Array($0.utf8) }) }
        isThere = replies.allSatisfy { $0.text == "OK" }
        guard isThere || database > 0 else { throw LabError("a node takes no SELECT 0") }
    }

    package func scan(_ body: ([[UInt8]]) throws -> Void) throws {
        guard isThere else { return }
        for (id, reader) in readers.sorted(by: { $0.key < $1.key }) {
            try reader.scan { batch in
                let strangers = batch.filter { owners[ClusterSlot.of($0)] != id }
                strays += strangers.map { ($0, clients[id]?.address ?? id) }
                try body(batch.filter { owners[ClusterSlot.of($0)] == id })
            }
        }
    }

    package func read(_ keys: [[UInt8]]) throws -> [ServerData.Entry?] {
        var entries = [ServerData.Entry?](repeating: nil, count: keys.count)
        guard isThere else { return entries }
        let places = Dictionary(grouping: keys.indices) { owners[ClusterSlot.of(keys[$0])] }
        for (id, indices) in places {
            guard let reader = readers[id] else { throw LabError("\(id) is no master") }
            for (index, entry) in zip(indices, try reader.read(indices.map { keys[$0] })) { entries[index] = entry }
        }
        return entries
    }
}
