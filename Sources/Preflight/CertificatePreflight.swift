import Link
import Servers

/// Checks how long the certificates of a connection are valid: the server's, and the one that we show it.
///
/// An expired certificate usually does not reach this check, because the connection fails unless nobody verifies it.
struct CertificatePreflight: Sendable {
    let subject: PreflightFinding.Subject
    /// `nil` for plaintext.
    let tls: TLSSettings?

    func findings(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        guard let tls else { return [] }
        guard let (end, endpoint) = try await server.certificateEnd() else {
            return [
                PreflightFinding(.warn, subject, "certificate", "when it ends cannot be read", remedy: "look at it")
            ]
        }
        var findings = [finding(CertificateLifetime(end: end), of: endpoint)]
        if tls.skipsVerification {
            findings.append(
                PreflightFinding(
                    .warn, subject, "certificate", "it is not verified: whoever answers is trusted",
                    remedy: "set \(tls.section).caFile instead of \(tls.section).insecureSkipVerify"))
        }
        if let path = tls.certificateFile, let end = CertificateEnd.first(inFile: path) {
            findings.append(ownFinding(CertificateLifetime(end: end), "\(path) (\(tls.section).certFile)"))
        }
        return findings
    }

    private func finding(_ lifetime: CertificateLifetime, of endpoint: Endpoint) -> PreflightFinding {
        let message = "a certificate of \(endpoint) \(lifetime.text)"
        return switch lifetime.state {
        case .good: PreflightFinding(.ok, subject, "certificate", message)
        case .endsSoon:
            PreflightFinding(
                .warn, subject, "certificate", message,
                remedy:
                    "renew it on the server before: it is read again at each connect, and a task that finds it expired waits"
            )
        case .expired:
            PreflightFinding(
                tls?.skipsVerification == true ? .warn : .fail, subject, "certificate", message,
                remedy: "renew it on the server")
        }
    }

    /// (A server that this one connects to with an expired certificate does not verify it.)
    private func ownFinding(_ lifetime: CertificateLifetime, _ file: String) -> PreflightFinding {
        let message = "our certificate in \(file) \(lifetime.text)"
        guard lifetime.state != .good else { return PreflightFinding(.ok, subject, "client-certificate", message) }
        return PreflightFinding(
            .warn, subject, "client-certificate", message,
            remedy: "renew it: a server that verifies it refuses it then; the file is read again at each connect")
    }
}
