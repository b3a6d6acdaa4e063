import Link
import Wire

/// Who serves which slot, and which slots are on their way from one master to another: whoever reads or removes everything
/// in a cluster finds out by it whether something has escaped meanwhile.
struct ClusterLayout: Sendable {
    /// A slot that is being moved: keys leave one master for the other one, never back.
    struct OpenSlot: Hashable, Sendable {
        var slot: UInt16
        /// Ids of nodes.
        var source: String
        var destination: String
    }

    /// Of the masters and their slots.
    let ownership: Int
    let openSlots: Set<OpenSlot>
    let servers: [TargetServers.Server]
    private let shards: [ClusterTopology.Shard]

    /// Asks all masters.
    static func read(_ servers: TargetServers) async throws(TargetError) -> ClusterLayout {
        while true {
            let all = try await servers.all()
            var open: Set<OpenSlot> = []
            for server in all where server.node != nil {
                open.formUnion(openSlots(in: try await server.demand("CLUSTER", "NODES").text ?? ""))
            }
            let shards = try await servers.cluster?.current().topology.shards ?? []
            // Somebody else may have read the topology anew meanwhile.
            guard all.compactMap(\.node) == shards.map(\.master) else { continue }
            return ClusterLayout(ownership: ownership(of: shards), openSlots: open, servers: all, shards: shards)
        }
    }

    /// Each master with a slot for marks: one that stays where it is, if there is one.
    var markedMasters: [MarkedMaster] {
        let open = Set(openSlots.map(\.slot))
        return shards.compactMap { shard in
            let ranges = shard.slots.sorted { $0.lowerBound < $1.lowerBound }
            let staying = ranges.lazy.compactMap { range in range.first { !open.contains($0) } }.first
            return (staying ?? ranges.first?.lowerBound).map { MarkedMaster(shard: shard, slot: KeySlot($0)) }
        }
    }

    /// Of the topology as it was read last.
    static func ownership(_ servers: TargetServers) async throws(TargetError) -> Int {
        guard let view = try await servers.cluster?.current() else { return 0 }
        return ownership(of: view.topology.shards)
    }

    private static func ownership(of shards: [ClusterTopology.Shard]) -> Int {
        var hasher = Hasher()
        for shard in shards {
            hasher.combine(shard.master)
            for range in shard.slots.sorted(by: { $0.lowerBound < $1.lowerBound }) { hasher.combine(range) }
        }
        return hasher.finalize()
    }

    /// - Parameter nodes: the reply to CLUSTER NODES; slots of the node that answers are in it as `[93->-<id>]`, on their
    ///   way to another one, or `[77-<-<id>]`, from it.
    static func openSlots(in nodes: String) -> Set<OpenSlot> {
        guard let own = nodes.split(separator: "\n").first(where: { $0.contains("myself") }) else { return [] }
        let words = own.split(separator: " ")
        guard let id = words.first.map(String.init) else { return [] }
        return Set(
            words.compactMap { word in
                guard word.hasPrefix("["), word.hasSuffix("]") else { return nil }
                let text = word.dropFirst().dropLast()
                guard let slot = UInt16(text.prefix(while: \.isNumber)) else { return nil }
                let rest = text.drop(while: \.isNumber)
                let other = String(rest.dropFirst(3))
                if rest.hasPrefix("->-") { return OpenSlot(slot: slot, source: id, destination: other) }
                if rest.hasPrefix("-<-") { return OpenSlot(slot: slot, source: other, destination: id) }
                return nil
            })
    }

    var fingerprint: String {
        var hasher = Hasher()
        hasher.combine(openSlots)
        return "\(ownership):\(hasher.finalize())"
    }
}

/// A walk over all keys of one database of a cluster, page by page, master by master.
///
/// ```
/// cursor   <fingerprint of the layout> <place of the master> <cursor of that master's SCAN>
/// ```
/// A slot that is handed over during the walk may escape it, from a master that has not been walked to one that has: the
/// walk begins again then. The keys of a slot that is being moved are read once more at the end, first where they leave.
struct ClusterWalk: Sendable {
    let servers: TargetServers
    let database: UInt32

    /// - Returns: a page, and the cursor of the next one: "0" at the end.
    func page(after cursor: String) async throws(TargetError) -> (cursor: String, keys: [[UInt8]]) {
        let words = cursor.split(separator: " ")
        guard words.count == 3, let place = Int(words[1]) else { return (try await beginning(), []) }
        let masters = try await servers.all(isFresh: false)
        let ownership = try await ClusterLayout.ownership(servers)
        guard words[0].hasPrefix("\(ownership):") else { return (try await beginning(), []) }
        guard place < masters.count else {
            let layout = try await ClusterLayout.read(servers)
            guard layout.fingerprint == words[0] else { return ("\(layout.fingerprint) 0 0", []) }
            return ("0", try await keysOnTheirWay(layout))
        }
        let page = try await scan(masters[place], cursor: String(words[2]))
        return ("\(words[0]) \(page.cursor == "0" ? place + 1 : place) \(page.cursor)", page.keys)
    }

    private func beginning() async throws(TargetError) -> String {
        "\(try await ClusterLayout.read(servers).fingerprint) 0 0"
    }

    private func scan(
        _ server: TargetServers.Server, cursor: String
    ) async throws(TargetError) -> (cursor: String, keys: [[UInt8]]) {
        try TargetControl.page(try await server.demand("SCAN", cursor, "COUNT", "1000", in: database))
    }

    private func keysOnTheirWay(_ layout: ClusterLayout) async throws(TargetError) -> [[UInt8]] {
        var keys: [[UInt8]] = []
        for open in layout.openSlots {
            for id in [open.source, open.destination] {
                guard let server = layout.servers.first(where: { $0.node?.id == id }) else { continue }
                let reply = try await server.demand(
                    "CLUSTER", "GETKEYSINSLOT", "\(open.slot)", "\(Int32.max)", in: database)
                keys += (reply.array ?? []).compactMap(\.bytes)
            }
        }
        return keys
    }
}
