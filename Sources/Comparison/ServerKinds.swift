import Dragonfly
import Redis
import Wire

/// Looks whether the servers are of the kinds that they are to be: two Dragonflies that are one are equal, and two servers that
/// are in each other's place are compared for nothing.
package struct ServerKinds: Sendable {
    private let servers: ServerPair

    package init(_ servers: ServerPair) { self.servers = servers }

    /// - Throws: `ComparisonError`, when a server is none of its kind, or does not say it.
    package func demand() async throws(ComparisonError) {
        let source = try await Self.info(of: .source(servers.source, role: "kinds"))
        guard source["dragonfly_version"] != nil else { throw .source(.notADragonfly(servers.source)) }
        let target = try await Self.info(of: .target(servers.target, role: "kinds"))
        do throws(TargetError) { try ProfileQuestions.refuseDragonfly(target) } catch { throw .target(error) }
    }

    private static func info(of server: ServerConnection) async throws(ComparisonError) -> ServerInfo {
        do throws(ComparisonError) {
            let info = try await server.info("server")
            await server.close()
            return info
        } catch {
            await server.close()
            throw error
        }
    }
}
