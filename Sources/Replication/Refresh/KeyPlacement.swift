import Dragonfly
import Wire

/// Tells which flow a key belongs to, as far as the flows have shown what their master hashes (Protocol 2.3).
struct KeyPlacement: Sendable {
    private let flowCount: UInt64
    private var isByKey: Bool
    private var isByTag: Bool

    /// - Parameter evidence: for each flow, the ways of hashing that it has not ruled out.
    init(_ evidence: [(isByKey: Bool, isByTag: Bool)]) {
        flowCount = UInt64(max(evidence.count, 1))
        isByKey = evidence.allSatisfy(\.isByKey)
        isByTag = evidence.allSatisfy(\.isByTag)
    }

    /// Learns from a key whose shard the source has reported.
    mutating func learn(_ key: [UInt8], isIn flow: FlowID) {
        let tag = KeyOwnership.hash(KeyOwnership.tag(of: key.span.bytes)) % flowCount
        let whole = KeyOwnership.hash(key.span.bytes) % flowCount
        guard whole != tag else { return }
        isByKey = isByKey && whole == UInt64(flow.index)
        isByTag = isByTag && tag == UInt64(flow.index)
    }

    /// Sets what is hashed if the evidence has not decided it.
    mutating func assume(hashesTags: Bool) {
        guard isByKey == isByTag else { return }
        (isByKey, isByTag) = (!hashesTags, hashesTags)
    }

    /// - Returns: `nil` if the flow depends on what is hashed and that is not known.
    func flow(of key: [UInt8]) -> FlowID? {
        let whole = KeyOwnership.hash(key.span.bytes) % flowCount
        let tag = KeyOwnership.hash(KeyOwnership.tag(of: key.span.bytes)) % flowCount
        if whole == tag { return FlowID(Int(whole)) }
        switch (isByKey, isByTag) {
        case (true, false): return FlowID(Int(whole))
        case (false, true): return FlowID(Int(tag))
        case (true, true), (false, false): return nil
        }
    }
}
