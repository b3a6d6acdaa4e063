import Lab

/// Certificates for both ends, and the configuration that names them.
struct Encryption {
    private let authority: CertificateAuthority
    private let client: CertificateFiles
    let options: TLSPeer.Options

    init() throws {
        authority = try CertificateAuthority()
        client = try authority.issue("df2redis")
        options = TLSPeer.Options(try authority.issue(), clientAuthority: authority.file)
    }

    /// The sections of a configuration, for both ends.
    var sections: [String: [String]] { ["source": section, "target": section] }

    private var section: [String] {
        [
            "tls:", "  enabled: true", "  caFile: \(authority.file)", "  certFile: \(client.certificate)",
            "  keyFile: \(client.key)",
        ]
    }
}
