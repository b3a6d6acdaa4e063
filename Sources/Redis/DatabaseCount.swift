import Link
import Wire

/// How many databases a server has.
enum DatabaseCount {
    /// More than any server has.
    private static let limit: UInt32 = 1 << 20

    /// - Parameter isInCluster: most nodes have one, but for a Valkey from 9 on with `cluster-databases`. They have the parameter
    ///   of a server by itself as well, and it means nothing there.
    static func ask(_ connection: RequestConnection, isInCluster: Bool) async throws(TargetError) -> UInt32 {
        do {
            let parameter = isInCluster ? "cluster-databases" : "databases"
            if let pair = try await connection.request("CONFIG", "GET", parameter).array, pair.count == 2,
                let count = pair[1].int, count > 0
            {
                return UInt32(clamping: count)
            }
            // CONFIG may be forbidden, or know no such parameter: SELECT says as well.
            var known: UInt32 = 1
            while known < limit, try await connection.request("SELECT", String(known * 2 - 1)).isOK { known *= 2 }
            while try await connection.request("SELECT", String(known)).isOK { known += 1 }
            _ = try await connection.request("SELECT", "0")
            return known
        } catch {
            throw TargetError(error)
        }
    }
}
