import Link
import Servers
import Wire

/// Checks how long a server's certificates are valid.
///
/// An expired certificate usually does not reach this check, because the connection fails unless verification is off.
struct CertificatePreflight: Sendable {
    /// The number of days that is enough for renewing a certificate.
    private static let enoughDays: Int64 = 30
    private static let secondsOfDay: Int64 = 86_400

    let subject: PreflightFinding.Subject
    /// `nil` for plaintext.
    let tls: TLSSettings?
    /// The time in Unix seconds.
    var now = WallClock.milliseconds() / 1000

    func findings(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        guard let tls else { return [] }
        guard let (end, endpoint) = try await server.certificateEnd() else {
            return [
                PreflightFinding(.warn, subject, "certificate", "when it ends cannot be read", remedy: "look at it")
            ]
        }
        var findings = [finding(end: end, endpoint)]
        if tls.skipsVerification {
            findings.append(
                PreflightFinding(
                    .warn, subject, "certificate", "it is not verified: whoever answers is trusted",
                    remedy: "set \(tls.section).caFile instead of \(tls.section).insecureSkipVerify"))
        }
        return findings
    }

    /// - Parameter end: when the first certificate of the chain expires, in Unix seconds.
    func finding(end: Int64, _ endpoint: Endpoint) -> PreflightFinding {
        let date = Self.date(end)
        let days = (end - now) / Self.secondsOfDay
        if end <= now {
            return PreflightFinding(
                tls?.skipsVerification == true ? .warn : .fail, subject, "certificate",
                "a certificate of \(endpoint) has expired at \(date)",
                remedy: "renew it on the server")
        }
        if days < Self.enoughDays {
            return PreflightFinding(
                .warn, subject, "certificate",
                "a certificate of \(endpoint) ends in \(counted(Int(days), "day")), at \(date)",
                remedy:
                    "renew it on the server before: it is read again at each connect, and a task that finds it expired waits"
            )
        }
        return PreflightFinding(
            .ok, subject, "certificate", "good until \(date), \(counted(Int(days), "day")) from now")
    }

    private static func date(_ seconds: Int64) -> String {
        // This is the inverse of days-from-civil (Hinnant, chrono-compatible low-level date algorithms).
        let shifted = seconds / secondsOfDay + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(year)-\(two(month))-\(two(day))"
    }
}
