package import Link

/// Whom to ask where the target is.
package struct SentinelSettings: Equatable, Sendable {
    /// The master's name in the sentinels' configuration.
    package let master: String
    /// The sentinels, at least one.
    package let endpoints: [Endpoint]
    package var user: String?
    package var password: String?
    /// How connections to the sentinels are encrypted; `nil`: not at all.
    package var tls: TLSSettings?

    package init(master: String, endpoints: [Endpoint]) {
        (self.master, self.endpoints) = (master, endpoints)
    }
}
