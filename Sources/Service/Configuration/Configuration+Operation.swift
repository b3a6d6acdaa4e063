package import Logging

extension Configuration {
    /// The HTTP status page.
    package struct Dashboard: Sendable, Equatable {
        /// Where it listens; nil for no page, an empty host for all interfaces.
        package var address: Address?
    }

    /// What is logged, and in which form.
    package struct Log: Sendable, Equatable {
        package enum Format: String, Sendable, CaseIterable {
            /// The journal under systemd, text elsewhere.
            case auto
            case journal
            case text
            case json
        }

        package var level = Logger.Level.info
        package var format = Format.auto
        /// A lag beyond this is reported; zero: never.
        package var lagHigh = Duration.seconds(30)
    }
}
