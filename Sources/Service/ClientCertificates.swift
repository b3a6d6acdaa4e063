import Link

/// The certificates that a task shows to its servers.
struct ClientCertificates: Sendable {
    /// By the side that they are shown to.
    private let files: [String: String]

    init(_ configuration: Configuration) {
        let sides = [
            ("source", configuration.source.tls), ("target", configuration.target.tls),
            ("target.sentinel", configuration.target.sentinel.tls),
        ]
        files = sides.reduce(into: [:]) { files, side in
            if side.1.isEnabled { files[side.0] = side.1.certificateFile }
        }
    }

    /// When each expires, in Unix seconds. Files may be replaced while the task runs: they are read.
    func ends() -> [String: Int64] { files.compactMapValues { CertificateEnd.first(inFile: $0) } }
}
