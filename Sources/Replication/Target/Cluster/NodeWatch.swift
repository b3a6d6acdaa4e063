import Link
import Redis

/// Notices a master that was promoted or came back without the last writes that its predecessor had confirmed.
///
/// With everything that a flow writes to a node, it writes a mark into one of the node's slots, last. Nodes replicate in
/// order, so a node that has the mark has everything before it. The marks that are expected are stored with the flow's
/// position, so that the next process can check them too.
///
/// A slot may be moved to a master shortly before a replica takes that master's place, and before a mark was written there.
/// Its keys may be lost on the way. A mark cannot show this, so the slot counts as lost.
///
/// The node that lost writes may be the one that keeps the checkpoint, and with it the expectations. Then the other nodes have
/// younger marks than expected. The marks of their slots show which records they already have, unless a full sync has begun or
/// these marks were removed since. Therefore each node's mark carries the time of the last such event (`SlotMark.origin`).
///
/// After something other than the flow has removed keys (a flush, a reconciliation), every master has a mark. A master
/// without it lacks the removal, which no flow repeats. The same is true of a master that only has a mark from before a
/// full sync: no record has what the full sync brought. Pure.
struct NodeWatch {
    /// A confirmed mark and the master that had it.
    private struct Entry: Equatable {
        var stamp: FlowStamp
        /// The first digits of the master's ID.
        var node: Substring
        /// A digest of the slots that the master served.
        var digest: UInt64
        /// The first mark that this master had with these slots. Without it some of the slots may not have arrived.
        var since: FlowStamp

        init(stamp: FlowStamp, node: Substring, digest: UInt64, since: FlowStamp? = nil) {
            (self.stamp, self.node, self.digest, self.since) = (stamp, node, digest, since ?? stamp)
        }

        init(_ stamp: FlowStamp, at shard: ClusterTopology.Shard) {
            self.init(stamp: stamp, node: shard.master.id.prefix(NodeWatch.digits), digest: NodeWatch.digest(of: shard))
        }
    }

    private var entries: [KeySlot: Entry] = [:]
    /// Slots with a mark that is not expected any more, because the slot has moved to a node with a younger mark.
    private var obsolete: Set<KeySlot> = []
    private var slots: [Endpoint: KeySlot] = [:]
    /// Slots that did not take a mark, because they are being moved to another node.
    private var open: [Endpoint: Set<KeySlot>] = [:]
    /// The marks on their way, in order.
    private var pending: [Endpoint: [(slot: KeySlot, entry: Entry)]] = [:]
    /// The stamp at which a full sync began, something other than the flow last removed keys, or the flow ended with
    /// everything applied. If a node has only an older mark, the flow cannot repeat what the node lacks.
    private var floor: FlowStamp?
    /// The stamp at which a full sync last began or the marks of the flow's slots were last removed. Each mark of a node carries
    /// it from then on.
    private(set) var origin: FlowStamp?

    enum Verdict: Equatable {
        case complete
        /// The node has everything that the flow wrote before this mark; `nil` if it is not known to have anything.
        case older(SlotMark?)
        /// The node also lacks something that the flow does not repeat: a flush, or what a full sync has brought and
        /// removed.
        case lacksUnrepeatable(SlotMark)
        /// Slots came to the node's predecessor so late that the node may lack their keys.
        case doubtful
        /// The node had the mark and has lost it while it was connected.
        case emptied
        /// The node has seen the beginning of a full sync, or the end of a session, that the checkpoint does not know.
        case ahead
    }

    init() {}

    /// Parses `text`: `floor:<epoch>:<number>`, `origin:<epoch>:<number>`, and `<slot>:<epoch>:<number>:<node>:<digest>` of each entry, followed by
    /// `:<epoch>:<number>` of its first mark if that is another one, and `<slot>` of each obsolete mark, separated by
    /// blanks.
    init(text: String) {
        for entry in text.split(separator: " ") {
            let words = entry.split(separator: ":")
            if words.count == 3, words[0] == "floor" { floor = FlowStamp(words[1...]) }
            if words.count == 3, words[0] == "origin" { origin = FlowStamp(words[1...]) }
            guard let slot = words.first.flatMap({ UInt16($0) }), slot < KeySlot.count else { continue }
            if words.count == 1 { obsolete.insert(KeySlot(slot)) }
            guard words.count == 5 || words.count == 7, let stamp = FlowStamp(words[1...2]),
                let digest = UInt64(words[4], radix: 16)
            else { continue }
            let since = words.count == 7 ? FlowStamp(words[5...]) : nil
            entries[KeySlot(slot)] = Entry(stamp: stamp, node: words[3], digest: digest, since: since)
        }
    }

    var text: String {
        let expected = entries.sorted { $0.key < $1.key }.map { slot, entry in
            let digest = String(entry.digest, radix: 16)
            let since = entry.since == entry.stamp ? "" : ":\(entry.since.epoch):\(entry.since.number)"
            return "\(slot):\(entry.stamp.epoch):\(entry.stamp.number):\(entry.node):\(digest)\(since)"
        }
        let events = [("floor", floor), ("origin", origin)].compactMap { name, stamp in
            stamp.map { "\(name):\($0.epoch):\($0.number)" }
        }
        return (events + expected + obsolete.sorted().map { "\($0)" }).joined(separator: " ")
    }

    var expectedSlots: [KeySlot] { entries.keys.sorted() }

    /// The slots that have a mark, whether it is expected or not.
    var markedSlots: [KeySlot] { obsolete.union(entries.keys).sorted() }

    /// The slots that have a mark which is not expected.
    var obsoleteSlots: [KeySlot] { obsolete.subtracting(entries.keys).sorted() }

    var lastEpoch: UInt64 { max(entries.values.map(\.stamp.epoch).max() ?? 0, floor?.epoch ?? 0) }

    // MARK: Writing

    /// Returns the slot in which the node at `endpoint` gets its mark; `nil` if it serves no slot that takes one.
    mutating func slot(at endpoint: Endpoint, in topology: ClusterTopology) -> KeySlot? {
        if let known = slots[endpoint], topology.master(of: known)?.endpoint == endpoint { return known }
        let open = open[endpoint] ?? []
        let own = entries.keys.filter { topology.master(of: $0)?.endpoint == endpoint && !open.contains($0) }.min()
        let shard = topology.shards.first { $0.master.endpoint == endpoint }
        let slot: KeySlot?
        if open.isEmpty {
            slot = own ?? shard.flatMap { topology.firstSlot(of: $0.master) }
        } else {
            // Slots are moved from the lowest on. If one of them is being moved, the highest is the safest.
            slot = own ?? shard?.slots.joined().map { KeySlot($0) }.filter { !open.contains($0) }.max()
        }
        slots[endpoint] = slot
        return slot
    }

    mutating func sent(_ stamp: FlowStamp, to endpoint: Endpoint, in slot: KeySlot, of topology: ClusterTopology) {
        let shard = topology.shards.first { $0.master.endpoint == endpoint }
        let entry = shard.map { Entry(stamp, at: $0) } ?? Entry(stamp: stamp, node: "", digest: 0)
        pending[endpoint, default: []].append((slot, entry))
    }

    private static let digits = 12

    /// The FNV-1a hash of the slots that a master serves.
    private static func digest(of shard: ClusterTopology.Shard) -> UInt64 {
        shard.slots.sorted { $0.lowerBound < $1.lowerBound }.reduce(0xcbf2_9ce4_8422_2325) { hash, range in
            let numbers = UInt64(range.lowerBound) << 16 | UInt64(range.upperBound)
            return (hash ^ numbers) &* 0x100_0000_01b3
        }
    }

    /// The slot in which the oldest mark on its way to the node overwrites an older mark; `nil` if the slot had none.
    func replacedSlot(at endpoint: Endpoint) -> KeySlot? {
        pending[endpoint]?.first.flatMap { entries[$0.slot] == nil ? nil : $0.slot }
    }

    /// Reports that the oldest mark on its way to the node has been written.
    mutating func confirmed(at endpoint: Endpoint, in topology: ClusterTopology) {
        guard var mark = pending[endpoint]?.first else { return }
        pending[endpoint]?.removeFirst()
        // Find the same master with the same slots, in whichever of these the mark was.
        let earlier = entries.values.first { $0.node == mark.entry.node && $0.digest == mark.entry.digest }
        if let earlier, !earlier.node.isEmpty { mark.entry.since = min(earlier.since, mark.entry.since) }
        entries[mark.slot] = mark.entry
        obsolete.remove(mark.slot)
        // Marks in slots that have come here from other nodes are older than this one.
        for slot in entries.keys where slot != mark.slot && topology.master(of: slot)?.endpoint == endpoint {
            entries[slot] = nil
            obsolete.insert(slot)
        }
    }

    /// Reports that the oldest mark on its way was refused.
    ///
    /// - Parameter slotIsOpen: whether the reason is that its slot is being moved to another node.
    /// - Returns: whether another slot takes the mark. If none does, all slots are tried again.
    mutating func refused(at endpoint: Endpoint, slotIsOpen: Bool, in topology: ClusterTopology) -> Bool {
        slots[endpoint] = nil
        if let mark = pending[endpoint]?.first {
            pending[endpoint]?.removeFirst()
            if slotIsOpen { open[endpoint, default: []].insert(mark.slot) }
        }
        if slot(at: endpoint, in: topology) != nil { return true }
        open[endpoint] = nil
        return false
    }

    mutating func lost(_ endpoint: Endpoint) { pending[endpoint] = nil }

    /// Reports that a full sync begins, whose marks come after `stamp`.
    mutating func fullSyncBegins(at stamp: FlowStamp) { (floor, origin) = (stamp, stamp) }

    /// Reports that something other than the flow, which was at rest, has removed keys, and that these masters then got the
    /// flow's mark.
    mutating func removed(_ stamp: FlowStamp, at masters: [MarkedMaster]) {
        obsolete.formUnion(entries.keys)
        obsolete.subtract(masters.map(\.slot))
        entries = Dictionary(masters.map { ($0.slot, Entry(stamp, at: $0.shard)) }) { $1 }
        (slots, open, pending, floor) = ([:], [:], [:], stamp)
    }

    /// Removes all expectations.
    mutating func forget() { (entries, obsolete, slots, open, floor, origin) = ([:], [], [:], [:], nil, nil) }

    /// Reports that the marks of the slots are about to be removed. After that nobody knows which of the flow's records
    /// a slot has, so no flow goes back to before `stamp`.
    mutating func slotMarksGo(at stamp: FlowStamp) { (floor, origin) = (stamp, stamp) }

    /// Reports that the obsolete marks have been removed.
    mutating func forgetObsolete() { obsolete = [] }

    /// The masters whose own mark has moved to another node with its slot.
    func unmarked(in topology: ClusterTopology) -> [Endpoint] {
        slots.filter { topology.master(of: $0.value)?.endpoint != $0.key }.map(\.key)
            .filter { endpoint in topology.masters.contains { $0.endpoint == endpoint } }
    }

    // MARK: Checking

    /// The slots for whose marks the node at `endpoint` must be asked.
    func questions(to endpoint: Endpoint, in topology: ClusterTopology) -> [KeySlot] {
        entries.keys.filter { topology.master(of: $0)?.endpoint == endpoint }.sorted()
    }

    func check(_ found: SlotMark?, in slot: KeySlot, of topology: ClusterTopology) -> Verdict {
        if let found, isAhead(found) { return .ahead }
        guard let expected = entries[slot] else { return .complete }
        guard let found else { return .older(nil) }
        guard found.stamp >= expected.stamp else {
            if let floor, found.stamp < floor { return .lacksUnrepeatable(found) }
            return found.stamp < expected.since ? .doubtful : .older(found)
        }
        let isMaster = topology.masters.contains { $0.id.hasPrefix(expected.node) }
        guard !isMaster, let place = topology.shard(of: slot) else { return .complete }
        return Self.digest(of: topology.shards[place]) == expected.digest ? .complete : .doubtful
    }

    /// Whether a node with this mark has been through more than the checkpoint knows.
    func isAhead(_ found: SlotMark) -> Bool {
        guard let later = found.origin else { return false }
        return origin.map { $0 < later } ?? true
    }

    /// Expects the mark that was found from now on.
    mutating func accept(_ found: SlotMark?, in slot: KeySlot) {
        if let found { entries[slot]?.stamp = found.stamp } else { entries[slot] = nil }
    }
}

extension NodeWatch.Verdict {
    /// The mark that was found in place of the expected one.
    var found: SlotMark? {
        switch self {
        case .older(let mark): mark
        case .lacksUnrepeatable(let mark): mark
        case .complete, .doubtful, .emptied, .ahead: nil
        }
    }

    /// Returns the LSN to which a flow goes back. Everything from there on can be repeated.
    ///
    /// - Parameters:
    ///   - replicationID: the replication ID of the flow's positions.
    ///   - here: the flow's position. The flow never goes forward, because another node may be the reason for this
    ///     position.
    ///   - crossing: the last record whose commands crossed slots.
    /// - Returns: `nil` if the flow cannot go back and a full sync is needed.
    func restart(of replicationID: String, before here: UInt64, after crossing: CrossingNote?) -> UInt64? {
        guard case .older(let mark?) = self, mark.replicationID == replicationID, let found = mark.position else {
            return nil
        }
        let lsn = min(found.lsn, here)
        return crossing.map { $0.lsn < lsn } ?? true ? lsn : nil
    }
}
