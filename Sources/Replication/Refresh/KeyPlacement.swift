import Dragonfly
import Wire

/// Which flow a key comes by, as far as the flows have shown what their master hashes (Protocol 2.3).
struct KeyPlacement: Sendable {
    private let flowCount: UInt64
    private var isByKey: Bool
    private var isByTag: Bool

    /// - Parameter evidence: of each flow, what it has not ruled out.
    init(_ evidence: [(isByKey: Bool, isByTag: Bool)]) {
        flowCount = UInt64(max(evidence.count, 1))
        isByKey = evidence.allSatisfy(\.isByKey)
        isByTag = evidence.allSatisfy(\.isByTag)
    }

    /// The source has said in which shard a key is.
    mutating func learn(_ key: [UInt8], isIn flow: FlowID) {
        let tag = KeyOwnership.hash(KeyOwnership.tag(of: key.span.bytes)) % flowCount
        let whole = KeyOwnership.hash(key.span.bytes) % flowCount
        guard whole != tag else { return }
        isByKey = isByKey && whole == UInt64(flow.index)
        isByTag = isByTag && tag == UInt64(flow.index)
    }

    /// Decides it where nothing else has.
    mutating func assume(hashesTags: Bool) {
        guard isByKey == isByTag else { return }
        (isByKey, isByTag) = (!hashesTags, hashesTags)
    }

    /// - Returns: `nil` where it depends on what is not known.
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
