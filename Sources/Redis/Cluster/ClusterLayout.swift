import Link
import Wire

/// Which master serves which slot, and which slots are being moved from one master to another.
///
/// Code that reads or removes all keys of a cluster compares layouts to find out whether keys have escaped it meanwhile.
struct ClusterLayout: Sendable {
    /// A slot that is being moved. Its keys leave the source for the destination and never come back.
    struct OpenSlot: Hashable, Sendable {
        var slot: UInt16
        /// Node IDs.
        var source: String
        var destination: String
    }

    /// A hash of the masters and their slots.
    let ownership: Int
    let openSlots: Set<OpenSlot>
    let servers: [TargetServers.Server]
    private let shards: [ClusterTopology.Shard]

    /// Reads the layout from all masters.
    static func read(_ servers: TargetServers) async throws(TargetError) -> ClusterLayout {
        while true {
            let all = try await servers.all()
            var open: Set<OpenSlot> = []
            for server in all where server.node != nil {
                open.formUnion(openSlots(in: try await server.execute("CLUSTER", "NODES").text ?? ""))
            }
            let shards = try await servers.cluster?.current().topology.shards ?? []
            // Another caller may have read a new topology meanwhile.
            guard all.compactMap(\.node) == shards.map(\.master) else { continue }
            return ClusterLayout(ownership: ownership(of: shards), openSlots: open, servers: all, shards: shards)
        }
    }

    /// Each master with a slot for marks, if possible a slot that is not being moved.
    var markedMasters: [MarkedMaster] {
        let open = Set(openSlots.map(\.slot))
        return shards.compactMap { shard in
            let ranges = shard.slots.sorted { $0.lowerBound < $1.lowerBound }
            let staying = ranges.lazy.compactMap { range in range.first { !open.contains($0) } }.first
            return (staying ?? ranges.first?.lowerBound).map { MarkedMaster(shard: shard, slot: KeySlot($0)) }
        }
    }

    /// The slots whose keys may have moved since `earlier`: those that have another master now, and those that are open now or
    /// were open then.
    func movedSlots(since earlier: ClusterLayout) -> Set<KeySlot> {
        var moved = Set((openSlots.map(\.slot) + earlier.openSlots.map(\.slot)).map { KeySlot($0) })
        guard ownership != earlier.ownership else { return moved }
        let (before, now) = (earlier.masterIDs, masterIDs)
        for slot in KeySlot.all where before[Int(slot.number)] != now[Int(slot.number)] { moved.insert(slot) }
        return moved
    }

    func master(of slot: KeySlot) -> ClusterTopology.Node? {
        shards.first { $0.slots.contains { $0.contains(slot.number) } }?.master
    }

    /// The id of each slot's master; `nil` for a slot that nobody serves.
    private var masterIDs: [String?] {
        var ids = [String?](repeating: nil, count: KeySlot.count)
        for shard in shards {
            for number in shard.slots.joined() { ids[Int(number)] = shard.master.id }
        }
        return ids
    }

    /// The masters that may have keys of a slot. A key only moves to a master that is later in the order.
    func holders(of slot: KeySlot) -> [TargetServers.Server] {
        let open = openSlots.filter { $0.slot == slot.number }
        let owner = master(of: slot)?.id
        var ids: [String] = []
        for id in open.map(\.source) + [owner].compactMap(\.self) + open.map(\.destination) where !ids.contains(id) {
            ids.append(id)
        }
        return ids.compactMap { id in servers.first { $0.node?.id == id } }
    }

    /// The hash of the masters and their slots in the topology that was read last.
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

    /// Finds the slots that the answering node is moving.
    ///
    /// - Parameter nodes: the reply to CLUSTER NODES. The line of the answering node contains `[93->-<id>]` for a slot that
    ///   moves to another node, and `[77-<-<id>]` for a slot that comes from another node.
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

/// Walks over all keys of one database of a cluster, page by page and master by master.
///
/// ```
/// cursor   <fingerprint of the layout> <index of the master> <cursor of that master's SCAN>
/// ```
/// A slot that is handed over during the walk, from a master that has not been walked to one that has, would be missed. The
/// walk starts again in this case. Keys of slots that are being moved are read once more at the end, first at the source and
/// then at the destination.
struct ClusterWalk: Sendable {
    let servers: TargetServers
    let database: UInt32

    /// - Returns: a page, and the cursor of the next one, which is "0" at the end.
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
        try TargetControl.page(try await server.execute("SCAN", cursor, "COUNT", "1000", in: database))
    }

    private func keysOnTheirWay(_ layout: ClusterLayout) async throws(TargetError) -> [[UInt8]] {
        var keys: [[UInt8]] = []
        for open in layout.openSlots {
            for id in [open.source, open.destination] {
                guard let server = layout.servers.first(where: { $0.node?.id == id }) else { continue }
                let reply = try await server.execute(
                    "CLUSTER", "GETKEYSINSLOT", "\(open.slot)", "\(Int32.max)", in: database)
                keys += (reply.array ?? []).compactMap(\.bytes)
            }
        }
        return keys
    }
}
