package import Link

extension Configuration {
    /// The Dragonfly master to follow.
    package struct Source: Sendable, Equatable {
        package enum Kind: String, Sendable, CaseIterable {
            case dragonfly
        }

        package var kind = Kind.dragonfly
        package var address = Endpoint(host: "127.0.0.1", port: 6379)
        package var login = Login()
        /// An expiry that is no further ahead than this is what a plain GETEX has left in the journal.
        package var expiryMargin = Duration.milliseconds(500)
        package var tls = TLS()
    }

    /// The Redis or Valkey server that is kept equal.
    package struct Target: Sendable, Equatable {
        package enum Kind: String, Sendable, CaseIterable {
            case standalone
            case cluster
        }

        package var kind = Kind.standalone
        package var address = Endpoint(host: "127.0.0.1", port: 6380)
        /// Nodes to ask for the slots of a cluster; `address` is one of them.
        package var clusterSeeds: [Endpoint] = []
        /// What a cluster's nodes are reached at, by the addresses that they announce.
        package var clusterAddressMap: [Endpoint: Endpoint] = [:]
        /// What becomes of each database of the source; one that is not here is kept.
        package var databases: [UInt32: DatabaseUse] = [:]
        package var login = Login()
        /// How long the target may owe an answer before it is reported as lost.
        package var silence = Duration.seconds(30)
        package var tls = TLS()
        package var sentinel = Sentinel()

        /// Where it is, for people.
        package var place: String {
            sentinel.master.map { "\($0) of the sentinels" } ?? address.description
        }
    }

    /// Whom to ask where the target is.
    package struct Sentinel: Sendable, Equatable {
        /// The master's name in the sentinels' configuration; nil: the target's address is given.
        package var master: String?
        package var addresses: [Endpoint] = []
        /// At the sentinels.
        package var login = Login()
        package var tls = TLS()
    }

    /// Who we are at a server.
    package struct Login: Sendable, Equatable {
        /// The ACL user; nil for the default user.
        package var username: String?
        /// The password that holds after the precedence of `PasswordResolver`; nil when none is configured.
        package var password: Secret?
        /// Where that password has come from, for people.
        package var passwordOrigin: String?
        /// The file that the password was to be read from, if the configuration names one.
        package var passwordFile: String?
        /// The file that it was read from; nil when it is from elsewhere.
        package var usedPasswordFile: String?
    }

    /// What becomes of the keys of one of the source's databases.
    package enum DatabaseUse: Sendable, Equatable {
        /// They are written to the database of this number: the same.
        case kept(UInt32)
        case skip
    }

    /// How a connection is encrypted.
    package struct TLS: Sendable, Equatable {
        package var isEnabled = false
        /// The certificates of the authorities to trust (PEM); nil for those of the system.
        package var caFile: String?
        /// Our own certificate (PEM), for a server that asks for one.
        package var certificateFile: String?
        /// The private key of `certificateFile` (PEM); nil: it is in that file too.
        package var keyFile: String?
        /// The name that the server's certificate must carry; nil for the host of the address.
        package var serverName: String?
        /// The server's certificate is not looked at: whoever is between the two can read and change everything.
        package var skipsVerification = false
    }
}
