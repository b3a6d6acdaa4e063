import Link
import Wire

/// Checks whether a cluster can be written to as a whole.
extension TargetControl {
    /// - Throws: `TargetError` if a slot is served by no node, or if a master considers the cluster to have failed. A single
    ///   server always passes.
    func requireHealth() async throws(TargetError) {
        guard let cluster = servers.cluster else { return }
        let all = try await servers.all()
        let topology = try await cluster.current().topology
        guard let example = all.first?.connector.settings.endpoint else { return }
        if let slot = KeySlot.all.first(where: { topology.master(of: $0) == nil }) {
            throw TargetError(
                .notReady,
                "\(topology.uncovered) slots of the target's cluster are served by no node, slot \(slot) for one: nothing has "
                    + "been written. See redis-cli --cluster check \(example), and --cluster fix")
        }
        for server in all {
            let info = try await server.execute("CLUSTER", "INFO").text ?? ""
            let fields = ServerInfo(info)
            guard let state = fields["cluster_state"], state != "ok" else { continue }
            let endpoint = server.connector.settings.endpoint
            throw TargetError(
                .notReady,
                "the target's cluster is in state \(state), says \(endpoint) (\(fields["cluster_slots_ok"] ?? "?") of "
                    + "\(KeySlot.count) slots are served): nothing has been written. See redis-cli --cluster check \(endpoint)"
            )
        }
    }
}
