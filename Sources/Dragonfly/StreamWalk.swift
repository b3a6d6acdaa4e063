import Link
import Wire

/// Walks through a master's streams to find those with consumer groups, in small steps, on its own ordinary connection.
package actor StreamWalk {
    /// The rights that the user needs in addition to those for replication.
    package static let rights = "+SCAN +XINFO +SELECT ~*"
    private static let answerTimeout = Duration.seconds(30)
    /// The approximate number of keys of all types that one step looks at.
    private static let stepKeys = 200

    /// The position of a walk.
    package struct Place: Sendable {
        /// The remaining databases, starting with the current one; `nil` before the walk.
        fileprivate var databases: [UInt32]?
        fileprivate var cursor = "0"

        package init() {}
    }

    private let connection: SourceConnection

    package init(settings: SourceSettings, socketStore: any SocketStore) {
        connection = SourceConnection(
            settings: settings, socketStore: socketStore, socketName: StoredSocketName.streams,
            label: "df2redis.streams")
    }

    /// Does one step of the walk.
    ///
    /// - Parameter place: where the step begins.
    /// - Returns: the streams with consumer groups, and where the next step begins; `nil` if the walk is complete.
    /// - Throws: `SourceError`; the step can then be repeated.
    package func step(
        _ place: Place
    ) async throws(SourceError) -> (found: [(database: UInt32, key: [UInt8])], place: Place)? {
        var place = place
        if place.databases == nil { place.databases = try await databases() }
        guard let database = place.databases?.first else { return nil }
        let scan = "SCAN \(place.cursor) COUNT \(Self.stepKeys) TYPE stream".split(separator: " ").map {
            $0.bytes
        }
        let replies = try await ask([select(database), scan])
        for (reply, step) in zip(replies, ["SELECT", "SCAN"]) {
            if case .error(let text) = reply { throw SourceError.reply(text, toQuestion: step) }
        }
        guard let parts = replies[1].array, parts.count == 2, let next = parts[0].text, let keys = parts[1].array
        else { throw SourceError(.protocolViolation, "the source's answer to SCAN cannot be read") }
        let streams = keys.compactMap(\.bytes)
        let found = try await withGroups(streams, in: database).map { (database, $0) }
        place.cursor = next
        if next == "0" { place.databases?.removeFirst() }
        return (found, place)
    }

    private func databases() async throws(SourceError) -> [UInt32] {
        let reply = try await ask([["INFO", "keyspace"].map(\.bytes)])[0]
        if case .error(let text) = reply { throw SourceError.reply(text, toQuestion: "INFO") }
        return ServerInfo(reply.text).keyCounts.keys.sorted()
    }

    private func withGroups(_ keys: [[UInt8]], in database: UInt32) async throws(SourceError) -> [[UInt8]] {
        if keys.isEmpty { return [] }
        let (info, groups) = ("XINFO".bytes, "GROUPS".bytes)
        let replies = try await ask([select(database)] + keys.map { [info, groups, $0] }).dropFirst()
        var found: [[UInt8]] = []
        for (key, reply) in zip(keys, replies) {
            if case .error(let text) = reply {
                let error = SourceError.reply(text, toQuestion: "XINFO")
                if error.code == .permission { throw error }
                // The key is gone, or is no longer a stream.
                continue
            }
            if reply.array?.isEmpty == false { found.append(key) }
        }
        return found
    }

    private func select(_ database: UInt32) -> [[UInt8]] { ["SELECT".bytes, "\(database)".bytes] }

    private func ask(_ commands: [[[UInt8]]]) async throws(SourceError) -> [RESPValue] {
        do {
            return try await connection.open().requests(commands, timeout: Self.answerTimeout)
        } catch {
            throw SourceError(ordinary: error)
        }
    }

    /// Closes the connection FIN-first.
    package func close() async { await connection.close() }
}
