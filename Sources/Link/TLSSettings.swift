/// How a connection is encrypted, from one side's section of a task's configuration. The files are read at each connect.
package struct TLSSettings: Equatable, Sendable {
    /// The section of the configuration, such as `target.tls`. Messages name its keys.
    package let section: String
    /// The authorities to trust (PEM); `nil` for those of the system.
    package var caFile: String?
    /// Our certificate and those between it and its authority (PEM), for a server that asks for one.
    package var certificateFile: String?
    /// The private key of `certificateFile` (PEM); `nil` if it is in the same file.
    package var keyFile: String?
    /// The name that the server's certificate must carry; `nil` for the host of the connection.
    package var serverName: String?
    /// Whether the server's certificate is accepted without verification.
    package var skipsVerification = false

    package init(section: String) { self.section = section }
}
