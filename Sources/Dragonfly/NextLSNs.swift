import Link
import Wire

/// The next LSN of each of a master's shards, asked for on a connection of its own (Protocol 2.8).
///
/// - Throws: `SourceError`.
package func nextLSNs(of source: SourceSettings, flowCount: Int) async throws -> [LSN] {
    let connection: RequestConnection
    do {
        connection = try await RequestConnection.connect(
            to: source.endpoint, tls: source.tls, label: "df2redis.offsets", timeout: source.connectTimeout)
    } catch {
        throw SourceError(ordinary: error)
    }
    do {
        if let arguments = authentication(user: source.user, password: source.password) {
            let reply = try await connection.request(arguments.map { Array($0.utf8) }, timeout: source.connectTimeout)
            if case .error(let text) = reply { throw SourceError.reply(text, to: "AUTH").ofLogin(at: source) }
        }
        let reply = try await connection.request("DFLY", "REPLICAOFFSET", timeout: source.connectTimeout)
        if case .error(let text) = reply { throw SourceError.reply(text, to: "DFLY REPLICAOFFSET") }
        let offsets = (reply.array ?? []).compactMap(\.int)
        guard offsets.count == flowCount else {
            throw SourceError(.protocolViolation, "DFLY REPLICAOFFSET does not give an offset for each flow")
        }
        await connection.close()
        return offsets.map { LSN(UInt64(clamping: $0)) }
    } catch {
        await connection.close()
        throw SourceError(ordinary: error)
    }
}
