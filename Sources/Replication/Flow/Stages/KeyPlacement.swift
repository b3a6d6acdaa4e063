import Dragonfly
import Wire

/// Determines the flow that brings a key, as far as the master's keys have shown how it distributes them over shards
/// (Protocol 2.3).
///
/// The shard follows from a hash of the whole key or of its `{tag}`, depending on flags of the master that a replica cannot
/// see. Both ways are possible until a key contradicts one of them. If keys contradict both, the master has a flag that is
/// not known here, such as `--locktag_delimiter`.
struct KeyPlacement: Sendable {
    private static let seed: UInt64 = 120_577_240_643

    private let flowCount: UInt64
    private var isByKey = true
    private var isByTag = true

    init(flowCount: Int) { self.flowCount = UInt64(max(flowCount, 1)) }

    /// Combines what several flows of one master have shown.
    init(_ placements: [KeyPlacement]) {
        flowCount = placements.first?.flowCount ?? 1
        isByKey = placements.allSatisfy(\.isByKey)
        isByTag = placements.allSatisfy(\.isByTag)
    }

    /// Whether keys contradict every way that is known here.
    var isContradicted: Bool { !isByKey && !isByTag }

    /// Learns from a key that is certainly in the shard of `flow`.
    mutating func learn(_ key: RawSpan, isIn flow: FlowID) {
        let (whole, tag) = hashes(of: key)
        isByKey = isByKey && isShard(flow, of: whole)
        isByTag = isByTag && isShard(flow, of: tag)
    }

    /// Decides between the two ways if no key has shown it.
    mutating func assume(hashesTags: Bool) {
        guard isByKey, isByTag else { return }
        (isByKey, isByTag) = (!hashesTags, hashesTags)
    }

    /// - Returns: `nil` if that depends on what is not known.
    func flow(of key: RawSpan) -> FlowID? {
        let (whole, tag) = hashes(of: key)
        switch (isByKey, isByTag) {
        case (true, false): return shard(of: whole)
        case (false, true): return shard(of: tag)
        case (true, true): return shard(of: whole) == shard(of: tag) ? shard(of: whole) : nil
        case (false, false): return nil
        }
    }

    /// - Returns: `nil` if that depends on what is not known.
    func flow(of key: [UInt8]) -> FlowID? { flow(of: key.span.bytes) }

    /// Whether none of the ways that are still possible puts `key` into the shard of `flow`.
    func excludes(_ key: RawSpan, from flow: FlowID) -> Bool {
        let (whole, tag) = hashes(of: key)
        return !(isByKey && isShard(flow, of: whole)) && !(isByTag && isShard(flow, of: tag))
    }

    // MARK: Hashes

    private func shard(of hash: UInt64) -> FlowID { FlowID(Int(hash % flowCount)) }

    private func isShard(_ flow: FlowID, of hash: UInt64) -> Bool { hash % flowCount == UInt64(flow.index) }

    private func hashes(of key: RawSpan) -> (whole: UInt64, tag: UInt64) {
        let (whole, tag) = (Self.hash(key), Self.tag(of: key))
        return (whole, tag.byteCount == key.byteCount ? whole : Self.hash(tag))
    }

    static func hash(_ text: RawSpan) -> UInt64 { XXH64.hash(text, seed: seed) }

    /// The text between the first brace and the one that closes it; the whole key if there is none, or nothing between.
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
