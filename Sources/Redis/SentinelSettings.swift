package import Link

/// The sentinels that know where the target is.
package struct SentinelSettings: Equatable, Sendable {
    /// The master's name in the sentinels' configuration.
    package let master: String
    /// The sentinels, at least one.
    package let endpoints: [Endpoint]
    package var user: String?
    package var password: String?
    /// How connections to the sentinels are encrypted; `nil` if they are not.
    package var tls: TLSSettings?

    package init(master: String, endpoints: [Endpoint]) {
        (self.master, self.endpoints) = (master, endpoints)
    }
}
