import Wire

/// How many databases a server has.
enum DatabaseCount {
    /// More than any server has.
    private static let limit: UInt32 = 1 << 20

    /// - Parameter isInCluster: most nodes have one, but for a Valkey from 9 on with `cluster-databases`. They have the parameter
    ///   of a server by itself as well, and it means nothing there.
    static func ask(_ sequence: RequestSequence, isInCluster: Bool) async throws(TargetError) -> UInt32 {
        let parameter = isInCluster ? "cluster-databases" : "databases"
        if let pair = try await sequence.ask("CONFIG", "GET", parameter).array, pair.count == 2,
            let count = pair[1].int, count > 0
        {
            return UInt32(clamping: count)
        }
        // CONFIG may be forbidden, or know no such parameter: SELECT says as well.
        var known: UInt32 = 1
        while known < limit, try await sequence.ask("SELECT", String(known * 2 - 1)).isOK { known *= 2 }
        while try await sequence.ask("SELECT", String(known)).isOK { known += 1 }
        return known
    }
}
