/// How a connection is encrypted: what a task's configuration says of one side. The files are read at each connect.
package struct TLSSettings: Equatable, Sendable {
    /// The section of the configuration, such as `target.tls`: messages name its keys.
    package let section: String
    /// The authorities to trust (PEM); `nil` for those of the system.
    package var caFile: String?
    /// Our certificate and those between it and its authority (PEM), for a server that asks for one.
    package var certificateFile: String?
    /// The private key of `certificateFile` (PEM); `nil`: it is in that file too.
    package var keyFile: String?
    /// The name that the server's certificate must carry; `nil` for the host that is connected to.
    package var serverName: String?
    /// The server's certificate is not looked at.
    package var skipsVerification = false

    package init(section: String) { self.section = section }
}
