package import Link

/// How to reach a master, and the names that we use there.
package struct SourceSettings: Sendable {
    package var endpoint: Endpoint
    package var user: String?
    package var password: String?
    /// Reads the password again, because passwords may change while a task runs; `nil` if it does not change.
    package var readPassword: (@Sendable () -> String?)?
    /// The origin of the password, for messages; `nil` if unknown.
    package var passwordOrigin: String?
    /// How the connections are encrypted; `nil` for no encryption.
    package var tls: TLSSettings?
    /// 40 hex digits that name this replica.
    package var clientID: String
    /// The name that the master's ROLE and INFO show instead of a replica's address. They show port 0, because nothing
    /// listens here. The name must not contain spaces, commas and '=', which INFO uses.
    package var displayName: String
    package var connectTimeout: Duration = .seconds(10)
    /// The timeout of DFLY SYNC and STARTSTABLE, which need a global transaction on the master.
    package var phaseTimeout: Duration = .seconds(120)

    /// The password with which a connection logs in now.
    package var currentPassword: String? { readPassword?() ?? password }

    package init(
        endpoint: Endpoint, user: String? = nil, password: String? = nil, clientID: String, displayName: String
    ) {
        self.endpoint = endpoint
        self.user = user
        self.password = password
        self.clientID = clientID
        self.displayName = displayName
    }
}
