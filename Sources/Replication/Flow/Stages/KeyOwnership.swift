import Dragonfly
import Wire

/// Distinguishes the keys that a flow's shard owns from copies that a master leaves in other shards.
///
/// PFMERGE over several shards stores its result in each of them under the same key, and journals each copy as a SET (seen
/// at v1.36.0; the same in the sources of August 2026). Clients of the master only ever see the owner's copy. Any other
/// copy becomes outdated and survives a DEL. If copies were replicated, in the time of their own flows, they would replace
/// newer values or stay for good.
///
/// The owner of a key follows from a hash of the key, or of its `{tag}` if flags of the master say so, which a replica does
/// not see. So a flow is observed first: no key counts as a copy before keys that certainly belong to the flow have proven
/// what is hashed.
struct KeyOwnership {
    private static let seed: UInt64 = 120_577_240_643
    /// The required confidence in bits: a wrong guess passes with probability 2^-n.
    private static let evidenceBits = 20

    private let flow: UInt64
    private let flowCount: UInt64
    private let bitsPerKey: Int
    private var isByKey = true
    private var isByTag = true
    private var gatheredBits = 0
    /// The hashes of keys or tags that have been evidence. The same one does not count twice.
    private var learned: [UInt64] = []

    init(flow: FlowID, flowCount: Int) {
        self.flow = UInt64(flow.index)
        self.flowCount = UInt64(max(flowCount, 1))
        bitsPerKey = UInt64.bitWidth - 1 - self.flowCount.leadingZeroBitCount
    }

    /// Whether more keys are needed as evidence.
    var needsEvidence: Bool { gatheredBits < Self.evidenceBits && bitsPerKey > 0 && (isByKey || isByTag) }

    /// Learns from `key`, which belongs to the flow's shard.
    mutating func learn(fromOwnKey key: RawSpan) {
        let hash = Self.hash(Self.tag(of: key))
        isByKey = isByKey && owns(key)
        isByTag = isByTag && hash % flowCount == flow
        guard !learned.contains(hash) else { return }
        learned.append(hash)
        gatheredBits += bitsPerKey
    }

    /// Whether `key` is known to belong to another flow's shard.
    func isCopy(_ key: RawSpan) -> Bool {
        guard gatheredBits >= Self.evidenceBits, isByKey || isByTag else { return false }
        return !(isByKey && owns(key)) && !(isByTag && owns(Self.tag(of: key)))
    }

    private func owns(_ text: RawSpan) -> Bool { Self.hash(text) % flowCount == flow }

    /// The ways of hashing that have not been ruled out.
    var evidence: (isByKey: Bool, isByTag: Bool) { (isByKey, isByTag) }

    static func hash(_ text: RawSpan) -> UInt64 { XXH64.hash(text, seed: seed) }

    /// The part between the first opening brace and the next closing brace; the whole key if there is no such part.
    @_lifetime(copy key)
    static func tag(of key: RawSpan) -> RawSpan {
        guard let open = index(of: 0x7B, in: key, from: 0), let close = index(of: 0x7D, in: key, from: open + 1),
            close > open + 1
        else { return key }
        return key.extracting(open + 1..<close)
    }

    private static func index(of byte: UInt8, in text: RawSpan, from start: Int) -> Int? {
        for offset in start..<text.byteCount where text[offset] == byte { return offset }
        return nil
    }
}
