package import Logging
package import Systemd

extension Configuration {
    /// The HTTP status page.
    package struct Dashboard: Sendable, Equatable {
        /// Where it listens; nil for no page, an empty host for all interfaces.
        package var address: Address?
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
