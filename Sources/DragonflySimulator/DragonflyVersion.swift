/// A release of Dragonfly, on which the differences in Protocol 8 depend.
package struct DragonflyVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let major: Int
    package let minor: Int
    package let patch: Int

    /// The release that the protocol document describes.
    package static let reference = DragonflyVersion(1, 36, 0)
    /// The newest release that was examined.
    package static let newest = DragonflyVersion(1, 40, 1)

    package init(_ major: Int, _ minor: Int, _ patch: Int) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// Parses `df-v1.36.0`, `v1.36.0` or `1.36.0`; `nil` for anything else.
    package init?(_ text: String) {
        let digits = text.drop { !$0.isNumber }
        let parts = digits.split(separator: ".").map { Int($0) }
        guard parts.count == 3, let major = parts[0], let minor = parts[1], let patch = parts[2] else { return nil }
        self.init(major, minor, patch)
    }

    /// The version as it appears in the AUX field `df-ver` and in `INFO server`.
    package var description: String { "df-v\(major).\(minor).\(patch)" }

    package static func < (a: Self, b: Self) -> Bool {
        (a.major, a.minor, a.patch) < (b.major, b.minor, b.patch)
    }

    /// The number in the reply to `capa dragonfly` (Protocol 1.7).
    package var protocolNumber: Int64 {
        switch self {
        case ..<DragonflyVersion(1, 11, 0): 1
        case ..<DragonflyVersion(1, 16, 0): 2
        case ..<DragonflyVersion(1, 22, 0): 4
        case ..<DragonflyVersion(1, 28, 30): 3
        case ..<DragonflyVersion(1, 29, 0): 4
        case ..<DragonflyVersion(1, 30, 0): 3
        case ..<DragonflyVersion(1, 37, 0): 4
        default: 5
        }
    }

    /// The reply to `capa dragonfly` has a fifth element, the lineage id.
    var sendsLineage: Bool { self >= DragonflyVersion(1, 40, 0) }

    /// PARTIAL flows go straight to STARTSTABLE; in earlier releases they need SYNC and an RDB frame (Protocol 2.6).
    var startsPartialFlowsStable: Bool { self >= DragonflyVersion(1, 35, 0) }

    /// SYNC after PARTIAL is refused instead of damaging the master.
    var refusesSyncAfterPartial: Bool { self >= DragonflyVersion(1, 40, 0) }

    /// Expiries are journaled as EXPIRED records; later releases journal them as COMMAND `DEL`.
    var sendsExpiredRecords: Bool { self < DragonflyVersion(1, 38, 0) }

    /// Large values come in tagged chunks unless the master is configured otherwise.
    var sendsTaggedChunks: Bool { self >= DragonflyVersion(1, 40, 0) }
}
