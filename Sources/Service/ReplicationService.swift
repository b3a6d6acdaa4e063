/// One task at work: from a checked configuration to the exit code.
package struct ReplicationService: Sendable {
    package enum Mode: String, Sendable {
        /// Follow the source until told to leave.
        case replicate
        /// One full sync, then leave.
        case migrate
    }

    package let configuration: Configuration
    package let mode: Mode
    /// What the loader found worth a warning in the configuration's file, for the log.
    package let warnings: [ConfigurationProblem]

    package init(configuration: Configuration, mode: Mode, warnings: [ConfigurationProblem]) {
        self.configuration = configuration
        self.mode = mode
        self.warnings = warnings
    }

    package func run() async -> ExitCode {
        .software
    }
}
