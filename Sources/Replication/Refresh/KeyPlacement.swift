import Dragonfly
import Wire

/// Which flow a key comes by, as far as the flows have shown what their master hashes (Protocol 2.3).
struct KeyPlacement: Sendable {
    private let flowCount: UInt64
    private let isByKey: Bool
    private let isByTag: Bool

    /// - Parameter evidence: of each flow, what it has not ruled out.
    init(_ evidence: [(isByKey: Bool, isByTag: Bool)]) {
        flowCount = UInt64(max(evidence.count, 1))
        isByKey = evidence.allSatisfy(\.isByKey)
        isByTag = evidence.allSatisfy(\.isByTag)
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
