import Base

/// How long a certificate is good for, at one moment, in words for an operator.
package struct CertificateLifetime: Equatable, Sendable {
    package enum State: Equatable, Sendable {
        case good
        /// It is time to renew it.
        case endsSoon
        case expired
    }

    /// The number of days that is enough for renewing a certificate.
    private static let enoughDays = 30
    private static let secondsOfDay: Int64 = 86_400

    private let end: Int64
    private let now: Int64

    /// - Parameters:
    ///   - end: when it expires, in Unix seconds.
    ///   - now: Unix seconds.
    package init(end: Int64, now: Int64 = WallClock.milliseconds() / 1000) { (self.end, self.now) = (end, now) }

    private var days: Int { Int((end - now) / Self.secondsOfDay) }

    package var state: State { end <= now ? .expired : days < Self.enoughDays ? .endsSoon : .good }

    /// What is true of the certificate, such as "ends in 3 days, at 2027-01-31".
    package var text: String {
        switch state {
        case .good: "is good until \(date), \(counted(days, "day")) from now"
        case .endsSoon: "ends \(days == 0 ? "within a day" : "in \(counted(days, "day"))"), at \(date)"
        case .expired: "has expired at \(date)"
        }
    }

    private var date: String {
        // This is the inverse of days-from-civil (Hinnant, chrono-compatible low-level date algorithms).
        let shifted = end / Self.secondsOfDay + 719_468
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
