import Link
import Redis
import Servers
import Wire

/// Checks a cluster as a whole: its slots, its replicas, and the state that each master reports.
struct ClusterPreflight: Sendable {
    let connections: ClusterConnections

    func findings(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        let topology: ClusterTopology
        do { topology = try await connections.topology() } catch { throw .target(error) }
        return Self.findings(of: topology) + (try await states(server))
    }

    /// The findings on the slots and replicas that a node knows of.
    static func findings(of topology: ClusterTopology) -> [PreflightFinding] {
        var findings: [PreflightFinding] = []
        let example = topology.masters.first?.endpoint.description ?? "<node>"
        if topology.uncovered > 0 {
            findings.append(
                PreflightFinding(
                    .fail, .target, "slots",
                    "\(topology.uncovered) of \(KeySlot.count) slots are served by no master",
                    remedy: "redis-cli --cluster check \(example), then --cluster fix"))
        } else {
            findings.append(
                PreflightFinding(
                    .ok, .target, "slots", "all \(KeySlot.count) are served, by \(topology.masters.count) masters"))
        }
        let lonely = topology.shards.filter { $0.replicas.isEmpty }.map(\.master.description)
        if lonely.isEmpty {
            findings.append(PreflightFinding(.ok, .target, "topology", "each master has a replica"))
        } else {
            findings.append(
                PreflightFinding(
                    .warn, .target, "topology", "without a replica: \(lonely.joined(separator: ", "))",
                    remedy:
                        "their slots are nobody's while they are away, and the task waits: give each a replica (CLUSTER REPLICATE)"
                ))
        }
        return findings
    }

    /// The findings on the cluster's state as each master reports it. The flows wait for any master that reports a failure.
    private func states(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        var failing: [String] = []
        for case let place? in try await server.walkPlaces() {
            let text = try await server.requests([command("CLUSTER", "INFO")], at: place)[0].text ?? ""
            if text.contains("cluster_state:fail") { failing.append("\(place)") }
        }
        if failing.isEmpty { return [] }
        return [
            PreflightFinding(
                .fail, .target, "state", "the cluster is in state fail, say \(failing.joined(separator: ", "))",
                remedy: "redis-cli --cluster check \(failing[0])")
        ]
    }
}
