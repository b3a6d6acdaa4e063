package import Dragonfly

/// A key whose value is to be read at the source.
package struct RefreshKey: Hashable, Sendable {
    package var database: UInt32
    package var key: [UInt8]

    package init(database: UInt32, key: [UInt8]) { (self.database, self.key) = (database, key) }
}

/// Why a key is to be refreshed. The raw value is what the queue's file has.
package enum RefreshOrigin: UInt8, Sendable, CaseIterable {
    /// A record, or what the target made of it, says that the key may differ.
    case stream = 0
    /// Both sides have been compared.
    case scrub = 1
    /// An operator has asked for it.
    case demand = 2
    /// A stream that consumers read without a record of it, at a leave or a cut-over: before all others, and unpaced.
    case group = 3

    var isUrgent: Bool { self == .group }
}

/// A key to be refreshed, with the flow whose shard owns it.
package struct RefreshRequest: Equatable, Sendable {
    package var key: RefreshKey
    package var flow: FlowID
    package var origin = RefreshOrigin.stream

    package init(_ key: RefreshKey, flow: FlowID, origin: RefreshOrigin = .stream) {
        (self.key, self.flow, self.origin) = (key, flow, origin)
    }
}
