package import Logging

/// Where this process logs to, chosen once at its start.
package struct LogOutput: Sendable {
    package enum Format: String, CaseIterable, Sendable {
        /// The journal if standard error leads into it, else text.
        case auto
        /// Records with fields, to journald.
        case journal
        /// Readable lines on standard error.
        case text
        /// JSON objects on standard error, one a line.
        case json
    }

    /// Makes a handler as `Logger` wants one.
    package let makeHandler: @Sendable () -> any LogHandler
    /// The handler without a limit, for the counts of what the limit held back.
    private let unlimited: any LogHandler
    private let limiter: RateLimiter

    /// Sets up logging for the whole process; to be called once, before the first logger is made.
    ///
    /// - Parameter metadata: put on every record, such as `["task": "prod"]`.
    package static func bootstrap(
        level: Logger.Level, format: Format = .auto, metadata: Logger.Metadata = [:]
    ) -> LogOutput {
        let output =
            switch format == .auto ? (JournalStream.stderrIsJournal() ? .journal : .text) : format {
            case .journal: LogOutput(JournalLogHandler(level: level), metadata: metadata)
            case .auto, .text: LogOutput(StderrLogHandler(level: level, form: .text), metadata: metadata)
            case .json: LogOutput(StderrLogHandler(level: level, form: .json), metadata: metadata)
            }
        let makeHandler = output.makeHandler
        LoggingSystem.bootstrap { _ in makeHandler() }
        return output
    }

    init<Handler: LogHandler>(_ handler: Handler, metadata: Logger.Metadata, limiter: RateLimiter = RateLimiter()) {
        var handler = handler
        handler.metadata = metadata
        unlimited = handler
        self.limiter = limiter
        makeHandler = { [handler] in RateLimitedLogHandler(handler, limiter: limiter) }
    }

    /// Logs how many records were held back in the intervals that are over; for a timer of a few seconds.
    package func reportSuppressed() {
        for summary in limiter.dueSummaries() { unlimited.log(event: summary) }
    }

    /// Logs how many records were held back so far; before the process ends.
    package func flush() {
        for summary in limiter.allSummaries() { unlimited.log(event: summary) }
    }
}
