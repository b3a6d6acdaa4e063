package import Link
package import Logging
package import Systemd

extension Configuration {
    /// The page over HTTP.
    package struct Dashboard: Sendable, Equatable {
        /// The default address. Each of several tasks on one machine takes the first free port from here on.
        package static let standardAddress = Endpoint(host: "127.0.0.1", port: 7777)

        /// The address to listen on; nil for no page, an empty host for all interfaces.
        package var address: Endpoint? = standardAddress
        /// The token that a request must carry, as `PasswordResolver` found it; nil if none is configured.
        package var token: Secret?
        /// The file to read the token from, if the configuration names one.
        package var tokenFile: String?
    }

    /// What is logged, and in which form.
    package struct Log: Sendable, Equatable {
        package typealias Format = LogOutput.Format

        package var level = Logger.Level.info
        package var format = Format.auto
        /// A lag above this is reported; zero turns the report off.
        package var lagHigh = Duration.seconds(30)
    }
}
