import Dragonfly
import Redis
package import Servers
import Wire

/// Looks whether the target may be one: a Dragonfly that is compared with itself is equal, and two servers that are in each
/// other's place are compared for nothing. A source may be of any kind.
package struct ServerKinds: Sendable {
    private let servers: ServerPair

    package init(_ servers: ServerPair) { self.servers = servers }

    /// - Throws: `ServerError`, when the target is a Dragonfly. One that does not say what it is counts as fit.
    package func demand() async throws(ServerError) {
        guard let target = try? await ServerConnection.target(servers.target, role: "kinds") else { return }
        let info = try? await target.info("server")
        await target.close()
        guard let info else { return }
        do throws(TargetError) { try ProfileQuestions.refuseOtherKinds(info) } catch { throw .target(error) }
    }
}
