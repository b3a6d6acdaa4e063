import Base
package import Logging

/// The log output of this process, chosen once at its start.
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

    /// Creates the handler of a `Logger`.
    package let makeHandler: @Sendable () -> any LogHandler
    /// The handler without a limit, which logs the counts of records that the limit held back.
    private let unlimited: any LogHandler
    private let limiter: RateLimiter

    /// Sets up logging for the whole process. Call this once, before the first logger is made.
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

    /// Logs how many records were held back in intervals that are over, and how many were dropped. A timer calls this every
    /// few seconds.
    package func reportSuppressed() {
        for summary in limiter.dueSummaries() { unlimited.log(event: summary) }
        reportDropped()
    }

    /// Logs how many records were held back or dropped so far, and waits a moment until all records are written. Call this
    /// before the process ends.
    package func flush() {
        for summary in limiter.allSummaries() { unlimited.log(event: summary) }
        reportDropped()
        LogQueue.shared.flush()
    }

    private func reportDropped() {
        let count = LogQueue.shared.takeDropped()
        guard count > 0 else { return }
        Logger(label: "df2redis.log") { _ in unlimited }.warning(
            "\(counted(count, "log record")) were dropped, since nothing took them in time",
            metadata: ["dropped": "\(count)"])
    }
}
