package import Link
package import Logging
package import Systemd

extension Configuration {
    /// The page over HTTP.
    package struct Dashboard: Sendable, Equatable {
        /// Where several tasks of one machine find a port each: the first that is free from here on.
        package static let standardAddress = Endpoint(host: "127.0.0.1", port: 7777)

        /// Where it listens; nil for no page, an empty host for all interfaces.
        package var address: Endpoint? = standardAddress
        /// What a request must bring after the precedence of `PasswordResolver`; nil when nothing is configured.
        package var token: Secret?
        /// The file that the token was to be read from, if the configuration names one.
        package var tokenFile: String?
    }

    /// What is logged, and in which form.
    package struct Log: Sendable, Equatable {
        package typealias Format = LogOutput.Format

        package var level = Logger.Level.info
        package var format = Format.auto
        /// A lag beyond this is reported; zero: never.
        package var lagHigh = Duration.seconds(30)
    }
}
