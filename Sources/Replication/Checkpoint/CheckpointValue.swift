package import Dragonfly
import Wire

/// The value of one flow's field.
package enum CheckpointValue: Equatable, Sendable {
    case stable(replicationID: String, flowCount: Int, next: LSN)
    case snapshot(replicationID: String, syncID: String, batch: UInt64)

    package var text: String {
        switch self {
        case .stable(let id, let flows, let next): "stable \(id) \(flows) \(next)"
        case .snapshot(let id, let sync, let batch): "snapshot \(id) \(sync) \(batch)"
        }
    }

    /// Parses a value. An earlier version wrote a zero before the LSN of every second batch that did not advance the
    /// position; such values are accepted.
    package init?(_ text: String) {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 4 else { return nil }
        switch words[0] {
        case "stable":
            guard let flows = Int(words[2]), let next = UInt64(words[3]), next < Limits.sequenceNumber else {
                return nil
            }
            self = .stable(replicationID: String(words[1]), flowCount: flows, next: LSN(next))
        case "snapshot":
            guard let batch = UInt64(words[3]) else { return nil }
            self = .snapshot(replicationID: String(words[1]), syncID: String(words[2]), batch: batch)
        default: return nil
        }
    }
}

extension ResumePoint {
    /// Creates the point from the fields of all flows; `nil` unless every flow has a stable position of the same master.
    package init?(checkpoint fields: [String: String]) {
        var positions: [Int: LSN] = [:]
        var origin: (id: String, flows: Int)?
        for (field, text) in fields where field.hasPrefix("flow:") {
            guard let flow = Int(field.dropFirst(5)),
                case .stable(let id, let flows, let next)? = CheckpointValue(text)
            else { return nil }
            if let origin, origin != (id, flows) { return nil }
            origin = (id, flows)
            positions[flow] = next
        }
        guard let origin, positions.count == origin.flows else { return nil }
        let nextLSNs = (0..<origin.flows).compactMap { positions[$0] }
        guard nextLSNs.count == origin.flows else { return nil }
        self.init(replicationID: origin.id, nextLSNs: nextLSNs)
    }
}

extension ResumePoint {
    /// The text of one flow's field.
    func text(_ next: LSN) -> String {
        CheckpointValue.stable(replicationID: replicationID, flowCount: nextLSNs.count, next: next).text
    }
}
