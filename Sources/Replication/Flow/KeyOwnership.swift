import Dragonfly
import Wire

/// Tells the keys that a flow's shard owns from copies that a master leaves in other shards.
///
/// PFMERGE over several shards stores its result in each of them, under the one key, and journals each as a SET (seen at
/// v1.36.0; the same in the sources of August 2026). Clients of the master only ever see the owner's: a copy goes stale,
/// and outlives a DEL. Replicated in its flow's own time it would take the place of newer values, or stay for good.
///
/// The owner of a key follows from a hash of it, or of its `{tag}` where the master is told so by flags that a replica
/// does not see. So a flow is watched first: no key is called a copy before keys that are certainly the flow's own have
/// proven what is hashed.
struct KeyOwnership {
    private static let seed: UInt64 = 120_577_240_643
    /// Bits of luck that a wrong guess would have needed to pass for right.
    private static let proof = 20

    private let flow: UInt64
    private let flowCount: UInt64
    private let proofPerKey: Int
    private var isByKey = true
    private var isByTag = true
    private var proven = 0
    /// Hashes of what has been proof: the same key, or tag, is none twice.
    private var witnesses: [UInt64] = []

    init(flow: FlowID, flowCount: Int) {
        self.flow = UInt64(flow.index)
        self.flowCount = UInt64(max(flowCount, 1))
        proofPerKey = UInt64.bitWidth - 1 - self.flowCount.leadingZeroBitCount
    }

    /// More keys are wanted.
    var isUnproven: Bool { proven < Self.proof && proofPerKey > 0 && (isByKey || isByTag) }

    /// `key` is the flow's own.
    mutating func witness(_ key: RawSpan) {
        let hash = Self.hash(Self.tag(of: key))
        isByKey = isByKey && owns(key)
        isByTag = isByTag && hash % flowCount == flow
        guard !witnesses.contains(hash) else { return }
        witnesses.append(hash)
        proven += proofPerKey
    }

    /// Another flow's shard owns `key`.
    func isCopy(_ key: RawSpan) -> Bool {
        guard proven >= Self.proof, isByKey || isByTag else { return false }
        return !(isByKey && owns(key)) && !(isByTag && owns(Self.tag(of: key)))
    }

    private func owns(_ text: RawSpan) -> Bool { Self.hash(text) % flowCount == flow }

    private static func hash(_ text: RawSpan) -> UInt64 { XXH64.hash(text, seed: seed) }

    /// What stands between the first brace and the one that closes it; the whole key where nothing does.
    @_lifetime(copy key)
    private static func tag(of key: RawSpan) -> RawSpan {
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
