import Link
import Redis
import Servers
import Wire

/// Walks over the keys of a server's database page by page, and master by master in a cluster.
///
/// A slot that is handed over meanwhile may escape the walk. SCAN may return a key more than once. It also returns copies of
/// a key that a master keeps in shards which do not own the key; TYPE answers for the key that clients see.
struct KeyPages {
    let server: ServerConnection
    let database: UInt32
    let selection: KeySelection
    private let count: Int
    private var cursor = "0"
    /// The servers that are left, beginning with the one that is being walked; `nil` before the walk.
    private var places: [Endpoint?]?

    init(server: ServerConnection, database: UInt32, selection: KeySelection, count: Int) {
        (self.server, self.database, self.selection, self.count) = (server, database, selection, count)
    }

    /// - Returns: `nil` if there are no more keys.
    mutating func next() async throws(ServerError) -> [[UInt8]]? {
        if places == nil { places = try await server.walkPlaces() }
        guard let place = places?.first else { return nil }
        var scan = command("SCAN", cursor, "COUNT", "\(count)")
        if let filter = selection.filter { scan += command("MATCH", filter) }
        let select = command("SELECT", "\(database)")
        let replies = try await server.requests([select, scan], at: place)
        for (reply, request) in zip(replies, [select, scan]) {
            if case .error(let text) = reply { throw server.refusal(text, of: request) }
        }
        guard let parts = replies[1].array, parts.count == 2, let next = parts[0].text, let keys = parts[1].array
        else { throw server.violation("SCAN") }
        cursor = next
        if next == "0" { places?.removeFirst() }
        return keys.lazy.compactMap(\.bytes).filter(selection.contains)
    }
}

/// Decides which keys are compared.
struct KeySelection: Sendable {
    let filter: String?
    private let reserved: [ReservedKeys]
    private let sampleLimit: UInt64
    private let seed = UInt64.random(in: 0 ... .max)

    /// - Parameters:
    ///   - checkpointKeys: the checkpoints' keys of all known tasks, which may have any prefix.
    ///   - isInCluster: whether names with a hash tag in front of them are reserved, too.
    init(options: ComparisonOptions, checkpointKeys: Set<String>, isInCluster: Bool = false) {
        filter = options.filter
        reserved = checkpointKeys.map { ReservedKeys(checkpoint: $0, isInCluster: isInCluster) }
        sampleLimit = options.samplePercent >= 100 ? .max : UInt64(options.samplePercent / 100 * 0x1p64)
    }

    func contains(_ key: [UInt8]) -> Bool {
        if reserved.contains(where: { $0.contains(key) }) { return false }
        return sampleLimit == .max || XXH64.hash(key.span.bytes, seed: seed) < sampleLimit
    }
}
