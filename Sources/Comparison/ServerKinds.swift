import Dragonfly
import Redis
package import Servers
import Wire

/// Checks that the target may be a target. A Dragonfly that is compared with itself would be equal, and comparing two
/// servers that are in each other's place would be useless. A source may be of any kind.
package struct ServerKinds: Sendable {
    private let servers: ServerPair

    package init(_ servers: ServerPair) { self.servers = servers }

    /// - Throws: `ServerError` if the target is a Dragonfly or a sentinel. A server that does not say what it is passes.
    package func requireSuitableTarget() async throws(ServerError) {
        guard let target = try? await ServerConnection.target(servers.target, role: "kinds") else { return }
        let info = try? await target.info("server")
        await target.close()
        guard let info else { return }
        do throws(TargetError) { try ProfileQuestions.refuseOtherKinds(info) } catch { throw .target(error) }
    }
}
