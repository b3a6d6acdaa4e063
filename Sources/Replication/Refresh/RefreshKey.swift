package import Dragonfly

/// A key whose value must be read at the source.
package struct RefreshKey: Hashable, Sendable {
    package var database: UInt32
    package var key: [UInt8]

    package init(database: UInt32, key: [UInt8]) { (self.database, self.key) = (database, key) }
}

/// Why a key must be refreshed. The raw value is stored in the queue's file.
package enum RefreshOrigin: UInt8, Sendable, CaseIterable {
    /// A record, or the target's reply to it, shows that the key may differ.
    case stream = 0
    /// A comparison of both sides found a difference.
    case scrub = 1
    /// An operator requested it.
    case demand = 2
    /// A stream that consumers read without a record. At a leave or a cut-over such streams are read before all other keys,
    /// and without a rate limit.
    case group = 3

    var isUrgent: Bool { self == .group }
}

/// A request to refresh a key, with the flow whose shard owns the key.
package struct RefreshRequest: Equatable, Sendable {
    package var key: RefreshKey
    package var flow: FlowID
    package var origin = RefreshOrigin.stream

    package init(_ key: RefreshKey, flow: FlowID, origin: RefreshOrigin = .stream) {
        (self.key, self.flow, self.origin) = (key, flow, origin)
    }
}
