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
        /// An expiry in the journal that is at most this far ahead was left there by a plain GETEX.
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
        /// The addresses at which a cluster's nodes are reached, by the addresses that they announce.
        package var clusterAddressMap: [Endpoint: Endpoint] = [:]
        /// How each database of the source is treated; one that is not here is kept.
        package var databases: [UInt32: DatabaseUse] = [:]
        package var login = Login()
        /// How long the target may owe an answer before it is reported as lost.
        package var silence = Duration.seconds(30)
        package var tls = TLS()
        package var sentinel = Sentinel()

        /// The target's address or its name at the sentinels, for messages.
        package var place: String {
            sentinel.master.map { "\($0) of the sentinels" } ?? address.description
        }
    }

    /// The sentinels to ask for the target's address.
    package struct Sentinel: Sendable, Equatable {
        /// The master's name in the sentinels' configuration; nil if the configuration gives the target's address.
        package var master: String?
        package var addresses: [Endpoint] = []
        /// The credentials for the sentinels.
        package var login = Login()
        package var tls = TLS()
    }

    /// The credentials for a server.
    package struct Login: Sendable, Equatable {
        /// The ACL user; nil for the default user.
        package var username: String?
        /// The password that `PasswordResolver` chose; nil if none is configured.
        package var password: Secret?
        /// The origin of that password, for messages.
        package var passwordOrigin: String?
        /// The file to read the password from, if the configuration names one.
        package var passwordFile: String?
        /// The file that the password was read from; nil if it has another origin.
        package var usedPasswordFile: String?
    }

    /// How the keys of one of the source's databases are treated.
    package enum DatabaseUse: Sendable, Equatable {
        /// The keys are written to the database with this number, which must be the same number.
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
        /// The private key of `certificateFile` (PEM); nil if that file contains it.
        package var keyFile: String?
        /// The name that the server's certificate must carry; nil for the host of the address.
        package var serverName: String?
        /// Whether any certificate of the server is accepted. Whoever is between the two can then read and change
        /// everything.
        package var skipsVerification = false
    }
}
