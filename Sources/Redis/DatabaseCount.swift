import Wire

/// Finds out how many databases a server has.
enum DatabaseCount {
    /// A number greater than the number of databases of any server.
    private static let limit: UInt32 = 1 << 20

    /// - Parameter isInCluster: whether the server is a node of a cluster. Nodes have one database, except for Valkey 9 and
    ///   later with `cluster-databases`. Nodes also have the parameter of a single server, but it has no meaning there.
    static func ask(_ sequence: RequestSequence, isInCluster: Bool) async throws(TargetError) -> UInt32 {
        let parameter = isInCluster ? "cluster-databases" : "databases"
        if let pair = try await sequence.ask("CONFIG", "GET", parameter).array, pair.count == 2,
            let count = pair[1].int, count > 0
        {
            return UInt32(clamping: count)
        }
        // CONFIG may be forbidden, or the parameter may be unknown. SELECT gives the answer, too.
        var known: UInt32 = 1
        while known < limit, try await sequence.ask("SELECT", String(known * 2 - 1)).isOK { known *= 2 }
        while try await sequence.ask("SELECT", String(known)).isOK { known += 1 }
        return known
    }
}
