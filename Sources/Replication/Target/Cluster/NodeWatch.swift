import Link
import Redis

/// Notices a master that was promoted, or came back, without the last of what its predecessor had confirmed.
///
/// With everything that a flow writes to a node it writes a mark into a slot of that node, last. A node replicates in order: one
/// that has the mark has all that came before it. What is expected of each such slot is stored with the flow's position, so
/// that the next process can look too.
///
/// Slots that were handed over to a master and with it, before a mark was written there, to the replica in its place may have
/// lost their keys on the way: that cannot be seen by a mark, and counts as lost.
///
/// After a removal of keys that is not the flow's own (a flush, a reconciliation) every master has a mark, and one without it
/// lacks what no flow does again. So does one with a mark of before a full sync only: what that has brought is in no record. Pure.
struct NodeWatch {
    /// A mark that was confirmed, and the master that had it.
    private struct Entry: Equatable {
        var stamp: FlowStamp
        /// The first digits of its id.
        var node: Substring
        /// Of the slots that it served.
        var digest: UInt64
        /// The first mark that this master had with these slots: without it some of them may not have come.
        var since: FlowStamp

        init(stamp: FlowStamp, node: Substring, digest: UInt64, since: FlowStamp? = nil) {
            (self.stamp, self.node, self.digest, self.since) = (stamp, node, digest, since ?? stamp)
        }

        init(_ stamp: FlowStamp, at shard: ClusterTopology.Shard) {
            self.init(stamp: stamp, node: shard.master.id.prefix(NodeWatch.digits), digest: NodeWatch.digest(of: shard))
        }
    }

    private var entries: [KeySlot: Entry] = [:]
    /// Slots with a mark that nothing is expected of any more: they have moved to a node that has a younger one.
    private var obsolete: Set<KeySlot> = []
    private var slots: [Endpoint: KeySlot] = [:]
    /// Slots that took no mark, being on their way to another node.
    private var open: [Endpoint: Set<KeySlot>] = [:]
    /// Marks on their way, in order.
    private var pending: [Endpoint: [(slot: KeySlot, entry: Entry)]] = [:]
    /// When a full sync began, keys were last removed otherwise than by the flow, or the flow ended with everything applied: the flow
    /// cannot do once more what a node with nothing but an older mark lacks.
    private var floor: FlowStamp?

    enum Verdict: Equatable {
        case complete
        /// All of the flow is there that was written before this mark; `nil`: none of it is known to be.
        case older(SlotMark?)
        /// It lacks what the flow does not do again as well: a flush, or what a full sync has brought and removed.
        case unremoved(SlotMark)
        /// Slots have come to it that a master before it may not have had for long enough.
        case doubtful
        /// It had the mark, and has lost it while it was connected.
        case emptied
    }

    init() {}

    /// As `text` has it: `floor:<epoch>:<number>`, `<slot>:<epoch>:<number>:<node>:<digest>` of each entry, with
    /// `:<epoch>:<number>` of its first mark where that is another, `<slot>` of an obsolete mark, with blanks between.
    init(text: String) {
        for entry in text.split(separator: " ") {
            let words = entry.split(separator: ":")
            if words.count == 3, words[0] == "floor", let epoch = UInt64(words[1]), let number = UInt64(words[2]) {
                floor = FlowStamp(epoch: epoch, number: number)
            }
            guard let slot = words.first.flatMap({ UInt16($0) }), slot < KeySlot.count else { continue }
            if words.count == 1 { obsolete.insert(KeySlot(slot)) }
            guard words.count == 5 || words.count == 7, let epoch = UInt64(words[1]), let number = UInt64(words[2]),
                let digest = UInt64(words[4], radix: 16)
            else { continue }
            var since: FlowStamp?
            if words.count == 7, let epoch = UInt64(words[5]), let number = UInt64(words[6]) {
                since = FlowStamp(epoch: epoch, number: number)
            }
            entries[KeySlot(slot)] = Entry(
                stamp: FlowStamp(epoch: epoch, number: number), node: words[3], digest: digest, since: since)
        }
    }

    var text: String {
        let expected = entries.sorted { $0.key < $1.key }.map { slot, entry in
            let digest = String(entry.digest, radix: 16)
            let since = entry.since == entry.stamp ? "" : ":\(entry.since.epoch):\(entry.since.number)"
            return "\(slot):\(entry.stamp.epoch):\(entry.stamp.number):\(entry.node):\(digest)\(since)"
        }
        let removal = floor.map { ["floor:\($0.epoch):\($0.number)"] } ?? []
        return (removal + expected + obsolete.sorted().map { "\($0)" }).joined(separator: " ")
    }

    var expectedSlots: [KeySlot] { entries.keys.sorted() }

    /// Slots that have a mark, whether anything is expected of it or not.
    var markedSlots: [KeySlot] { obsolete.union(entries.keys).sorted() }

    /// Slots that have a mark of which nothing is expected.
    var obsoleteSlots: [KeySlot] { obsolete.subtracting(entries.keys).sorted() }

    var lastEpoch: UInt64 { max(entries.values.map(\.stamp.epoch).max() ?? 0, floor?.epoch ?? 0) }

    // MARK: Writing

    /// Where the node at `endpoint` gets its mark; `nil`: it serves no slot that takes one.
    mutating func slot(at endpoint: Endpoint, in topology: ClusterTopology) -> KeySlot? {
        if let known = slots[endpoint], topology.master(of: known)?.endpoint == endpoint { return known }
        let open = open[endpoint] ?? []
        let own = entries.keys.filter { topology.master(of: $0)?.endpoint == endpoint && !open.contains($0) }.min()
        let shard = topology.shards.first { $0.master.endpoint == endpoint }
        let slot: KeySlot?
        if open.isEmpty {
            slot = own ?? shard.flatMap { topology.firstSlot(of: $0.master) }
        } else {
            // Slots are moved from the lowest on: where one of them is open, the highest is the safest.
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

    /// FNV-1a of the slots that a master serves.
    private static func digest(of shard: ClusterTopology.Shard) -> UInt64 {
        shard.slots.sorted { $0.lowerBound < $1.lowerBound }.reduce(0xcbf2_9ce4_8422_2325) { hash, range in
            let numbers = UInt64(range.lowerBound) << 16 | UInt64(range.upperBound)
            return (hash ^ numbers) &* 0x100_0000_01b3
        }
    }

    /// Where the node was to write over an older mark with the oldest on its way; `nil`: it had none.
    func replacedSlot(at endpoint: Endpoint) -> KeySlot? {
        pending[endpoint]?.first.flatMap { entries[$0.slot] == nil ? nil : $0.slot }
    }

    /// The oldest mark on its way to the node has been written.
    mutating func confirmed(at endpoint: Endpoint, in topology: ClusterTopology) {
        guard var mark = pending[endpoint]?.first else { return }
        pending[endpoint]?.removeFirst()
        // The same master with the same slots, whichever of these has had the mark.
        let earlier = entries.values.first { $0.node == mark.entry.node && $0.digest == mark.entry.digest }
        if let earlier, !earlier.node.isEmpty { mark.entry.since = min(earlier.since, mark.entry.since) }
        entries[mark.slot] = mark.entry
        obsolete.remove(mark.slot)
        // Slots with marks of other nodes that have come here since: this mark is younger.
        for slot in entries.keys where slot != mark.slot && topology.master(of: slot)?.endpoint == endpoint {
            entries[slot] = nil
            obsolete.insert(slot)
        }
    }

    /// The oldest mark on its way was refused.
    ///
    /// - Parameter slotIsOpen: because its slot is on its way to another node.
    /// - Returns: whether another slot takes the mark. If none does, all are tried anew.
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

    /// A full sync begins, whose marks come after `stamp`.
    mutating func fullSyncBegins(at stamp: FlowStamp) { floor = stamp }

    /// Keys have been removed otherwise than by the flow, which was at rest, and these masters have been given its mark after
    /// that.
    mutating func removed(_ stamp: FlowStamp, at masters: [MarkedMaster]) {
        obsolete.formUnion(entries.keys)
        obsolete.subtract(masters.map(\.slot))
        entries = Dictionary(masters.map { ($0.slot, Entry(stamp, at: $0.shard)) }) { $1 }
        (slots, open, pending, floor) = ([:], [:], [:], stamp)
    }

    /// Nothing is expected any more.
    mutating func forget() { (entries, obsolete, slots, open, floor) = ([:], [], [:], [:], nil) }

    /// The marks of the slots are about to be removed: nobody could say any more what of the flow's records a slot has, and no flow
    /// goes back to before `stamp`.
    mutating func slotMarksGo(at stamp: FlowStamp) { floor = stamp }

    /// The obsolete marks have been removed.
    mutating func forgetObsolete() { obsolete = [] }

    /// Masters whose own mark has gone with its slot to another node.
    func unmarked(in topology: ClusterTopology) -> [Endpoint] {
        slots.filter { topology.master(of: $0.value)?.endpoint != $0.key }.map(\.key)
            .filter { endpoint in topology.masters.contains { $0.endpoint == endpoint } }
    }

    // MARK: Looking

    /// Slots whose mark the node at `endpoint` is to be asked for.
    func questions(to endpoint: Endpoint, in topology: ClusterTopology) -> [KeySlot] {
        entries.keys.filter { topology.master(of: $0)?.endpoint == endpoint }.sorted()
    }

    func check(_ found: SlotMark?, in slot: KeySlot, of topology: ClusterTopology) -> Verdict {
        guard let expected = entries[slot] else { return .complete }
        guard let found else { return .older(nil) }
        guard found.stamp >= expected.stamp else {
            if let floor, found.stamp < floor { return .unremoved(found) }
            return found.stamp < expected.since ? .doubtful : .older(found)
        }
        let isMaster = topology.masters.contains { $0.id.hasPrefix(expected.node) }
        guard !isMaster, let place = topology.shard(of: slot) else { return .complete }
        return Self.digest(of: topology.shards[place]) == expected.digest ? .complete : .doubtful
    }

    /// What was found is what there is.
    mutating func accept(_ found: SlotMark?, in slot: KeySlot) {
        if let found { entries[slot]?.stamp = found.stamp } else { entries[slot] = nil }
    }
}

extension NodeWatch.Verdict {
    /// The mark that was found where another one was expected.
    var found: SlotMark? {
        switch self {
        case .older(let mark): mark
        case .unremoved(let mark): mark
        case .complete, .doubtful, .emptied: nil
        }
    }

    /// Where a flow goes back to: everything since may be done again.
    ///
    /// - Parameters:
    ///   - replicationID: of the flow's positions.
    ///   - here: where the flow is: it never goes forward, since another node may be the reason that it is there.
    ///   - crossing: the last record that was done over several slots.
    /// - Returns: `nil`: nowhere, a full sync is needed.
    func restart(of replicationID: String, before here: UInt64, after crossing: CrossingNote?) -> UInt64? {
        guard case .older(let mark?) = self, mark.replicationID == replicationID, let found = mark.position else {
            return nil
        }
        let lsn = min(found.lsn, here)
        return crossing.map { $0.lsn < lsn } ?? true ? lsn : nil
    }
}
