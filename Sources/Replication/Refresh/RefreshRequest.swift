package import Dragonfly

/// A request to refresh a key, with the flow whose shard owns the key.
package struct RefreshRequest: Equatable, Sendable {
    package var key: RefreshKey
    package var flow: FlowID
    package var origin = RefreshOrigin.stream

    package init(_ key: RefreshKey, flow: FlowID, origin: RefreshOrigin = .stream) {
        (self.key, self.flow, self.origin) = (key, flow, origin)
    }
}
