import Dragonfly
import Wire

/// Distinguishes the keys that a flow's shard owns from copies that a master leaves in other shards.
///
/// PFMERGE over several shards stores its result in each of them, under the one key, and journals each as a SET (seen at
/// v1.36.0; the same in the sources of August 2026). Clients of the master only ever see the owner's: a copy goes stale,
/// and outlives a DEL. Replicated in its flow's own time it would take the place of newer values, or stay for good.
///
/// The owner of a key follows from a hash of it, or of its `{tag}` where flags of the master say so, which a replica does
/// not see. So a flow is watched first: no key is called a copy before keys that are certainly the flow's own have
/// proven what is hashed.
struct KeyOwnership {
    private static let seed: UInt64 = 120_577_240_643
    /// Confidence in bits: a wrong guess passes with probability 2^-n.
    private static let evidenceBits = 20

    private let flow: UInt64
    private let flowCount: UInt64
    private let bitsPerKey: Int
    private var isByKey = true
    private var isByTag = true
    private var gatheredBits = 0
    /// Hashes of what has been evidence: the same key, or tag, is none twice.
    private var learned: [UInt64] = []

    init(flow: FlowID, flowCount: Int) {
        self.flow = UInt64(flow.index)
        self.flowCount = UInt64(max(flowCount, 1))
        bitsPerKey = UInt64.bitWidth - 1 - self.flowCount.leadingZeroBitCount
    }

    /// More keys are wanted.
    var needsEvidence: Bool { gatheredBits < Self.evidenceBits && bitsPerKey > 0 && (isByKey || isByTag) }

    /// `key` is the flow's own.
    mutating func learn(fromOwnKey key: RawSpan) {
        let hash = Self.hash(Self.tag(of: key))
        isByKey = isByKey && owns(key)
        isByTag = isByTag && hash % flowCount == flow
        guard !learned.contains(hash) else { return }
        learned.append(hash)
        gatheredBits += bitsPerKey
    }

    /// Another flow's shard owns `key`.
    func isCopy(_ key: RawSpan) -> Bool {
        guard gatheredBits >= Self.evidenceBits, isByKey || isByTag else { return false }
        return !(isByKey && owns(key)) && !(isByTag && owns(Self.tag(of: key)))
    }

    private func owns(_ text: RawSpan) -> Bool { Self.hash(text) % flowCount == flow }

    /// What has not been ruled out.
    var evidence: (isByKey: Bool, isByTag: Bool) { (isByKey, isByTag) }

    static func hash(_ text: RawSpan) -> UInt64 { XXH64.hash(text, seed: seed) }

    /// What is between the first brace and the one that closes it; the whole key where nothing is.
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
