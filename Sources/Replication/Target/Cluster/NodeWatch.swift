import Link
import Redis

/// Notices a master that was promoted, or came back, without the last of what its predecessor had confirmed.
///
/// With everything that a flow writes to a node it writes a mark into a slot of that node, last. A node replicates in order: one
/// that has the mark has all that came before it. What is expected of each such slot is stored with the flow's position, so
/// that the next process can look too. Pure.
struct NodeWatch {
    /// The last mark that was confirmed, by its slot.
    private var entries: [KeySlot: FlowStamp] = [:]
    private var slots: [Endpoint: KeySlot] = [:]
    /// Marks on their way, in order.
    private var pending: [Endpoint: [(slot: KeySlot, stamp: FlowStamp)]] = [:]

    enum Verdict: Equatable {
        case complete
        /// All of the flow is there that was written before this mark; `nil`: none of it is known to be.
        case older(SlotMark?)
    }

    init() {}

    /// As `text` has it: `<slot>:<epoch>:<number>` of each entry, with blanks between.
    init(text: String) {
        for entry in text.split(separator: " ") {
            let numbers = entry.split(separator: ":").compactMap { UInt64($0) }
            guard numbers.count == 3, numbers[0] < KeySlot.count else { continue }
            entries[KeySlot(UInt16(numbers[0]))] = FlowStamp(epoch: numbers[1], number: numbers[2])
        }
    }

    var text: String {
        entries.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value.epoch):\($0.value.number)" }
            .joined(separator: " ")
    }

    var expectedSlots: [KeySlot] { entries.keys.sorted() }

    var lastEpoch: UInt64 { entries.values.map(\.epoch).max() ?? 0 }

    // MARK: Writing

    /// Where the node at `endpoint` gets its mark; `nil`: it serves no slot.
    mutating func slot(at endpoint: Endpoint, in topology: ClusterTopology) -> KeySlot? {
        if let known = slots[endpoint], topology.master(of: known)?.endpoint == endpoint { return known }
        let own = entries.keys.filter { topology.master(of: $0)?.endpoint == endpoint }.min()
        let slot = own ?? topology.masters.first { $0.endpoint == endpoint }.flatMap { topology.firstSlot(of: $0) }
        slots[endpoint] = slot
        return slot
    }

    mutating func sent(_ stamp: FlowStamp, to endpoint: Endpoint, in slot: KeySlot) {
        pending[endpoint, default: []].append((slot, stamp))
    }

    /// The oldest mark on its way to the node has been written.
    mutating func confirmed(at endpoint: Endpoint, in topology: ClusterTopology) {
        guard let mark = pending[endpoint]?.first else { return }
        pending[endpoint]?.removeFirst()
        entries[mark.slot] = mark.stamp
        // Slots with marks of other nodes that have come here since: this mark is younger.
        for slot in entries.keys where slot != mark.slot && topology.master(of: slot)?.endpoint == endpoint {
            entries[slot] = nil
        }
    }

    /// The oldest mark on its way was refused.
    mutating func refused(at endpoint: Endpoint) {
        if pending[endpoint]?.isEmpty == false { pending[endpoint]?.removeFirst() }
        slots[endpoint] = nil
    }

    mutating func lost(_ endpoint: Endpoint) { pending[endpoint] = nil }

    /// All keys of the target have been removed.
    mutating func forget() { (entries, slots) = ([:], [:]) }

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

    func check(_ found: SlotMark?, in slot: KeySlot) -> Verdict {
        guard let expected = entries[slot] else { return .complete }
        if let found, found.stamp >= expected { return .complete }
        return .older(found)
    }

    /// What was found is what there is.
    mutating func accept(_ found: SlotMark?, in slot: KeySlot) { entries[slot] = found?.stamp }
}
