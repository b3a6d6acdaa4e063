import Dragonfly
import Wire

/// Distinguishes the keys that a flow's shard owns from copies that a master leaves in other shards.
///
/// PFMERGE over several shards stores its result in each of them under the same key, and journals each copy as a SET (seen
/// at v1.36.0; the same in the sources of August 2026). Clients of the master only ever see the owner's copy. Any other
/// copy becomes outdated and survives a DEL. If copies were replicated, in the time of their own flows, they would replace
/// newer values or stay for good.
///
/// Only its keys show how a master distributes them (`KeyPlacement`). So a flow is watched first: no key is called a
/// copy before enough keys that certainly belong to the flow have matched. The flow's keys are checked from then on,
/// too, because some flags of a master concern only some keys: once one key does not match, no key of the flow is
/// called a copy any more.
struct KeyOwnership {
    /// Confidence in bits: a wrong guess passes with probability 2^-n.
    private static let evidenceBits = 20

    private let flow: FlowID
    private let bitsPerKey: Int
    /// What the flow's keys have shown.
    private(set) var placement: KeyPlacement
    private var gatheredBits = 0
    /// Hashes of the tags that have counted as evidence. The same tag counts once.
    private var learned: [UInt64] = []

    init(flow: FlowID, flowCount: Int) {
        self.flow = flow
        placement = KeyPlacement(flowCount: flowCount)
        bitsPerKey = UInt64.bitWidth - 1 - UInt64(max(flowCount, 1)).leadingZeroBitCount
    }

    /// Whether more keys are needed before a key can be called a copy.
    var needsEvidence: Bool { gatheredBits < Self.evidenceBits && canHaveCopies }

    private var canHaveCopies: Bool { bitsPerKey > 0 && !placement.isContradicted }

    /// Learns from `key`, which belongs to the flow.
    mutating func learn(fromOwnKey key: RawSpan) {
        guard canHaveCopies else { return }
        placement.learn(key, isIn: flow)
        guard gatheredBits < Self.evidenceBits else { return }
        let hash = KeyPlacement.hash(KeyPlacement.tag(of: key))
        guard !learned.contains(hash) else { return }
        learned.append(hash)
        gatheredBits += bitsPerKey
    }

    /// Whether another flow's shard owns `key`.
    func isCopy(_ key: RawSpan) -> Bool {
        gatheredBits >= Self.evidenceBits && canHaveCopies && placement.excludes(key, from: flow)
    }
}
