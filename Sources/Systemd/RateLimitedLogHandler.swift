package import Logging

/// A log handler in front of another: what repeats itself is held back and counted by a `RateLimiter`.
///
/// The kind of a record is its metadata `kind`, else the log statement it comes from; and its `flow`, so that the flows do
/// not use up each other's share.
package struct RateLimitedLogHandler<Wrapped: LogHandler>: LogHandler {
    private var wrapped: Wrapped
    /// The handler as it was before any logger put metadata on it: a count is reported with the metadata of its own records.
    private let bare: Wrapped
    private let limiter: RateLimiter

    package init(_ wrapped: Wrapped, limiter: RateLimiter) {
        self.wrapped = wrapped
        bare = wrapped
        self.limiter = limiter
    }

    package var logLevel: Logger.Level {
        get { wrapped.logLevel }
        set { wrapped.logLevel = newValue }
    }

    package var metadata: Logger.Metadata {
        get { wrapped.metadata }
        set { wrapped.metadata = newValue }
    }

    package var metadataProvider: Logger.MetadataProvider? {
        get { wrapped.metadataProvider }
        set { wrapped.metadataProvider = newValue }
    }

    package subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { wrapped[metadataKey: key] }
        set { wrapped[metadataKey: key] = newValue }
    }

    package func log(event: LogEvent) {
        var event = event
        let metadata = merged(wrapped.metadata, wrapped.metadataProvider, event)
        event.metadata = metadata
        let admission = limiter.admit(event, kind: Self.kind(of: event, metadata))
        for summary in admission.summaries { bare.log(event: summary) }
        if admission.isAdmitted { wrapped.log(event: event) }
    }

    static func kind(of event: LogEvent, _ metadata: Logger.Metadata) -> String {
        let kind = metadata["kind"].map(LogText.plain) ?? "\(event.file):\(event.line)"
        guard let flow = metadata["flow"] else { return kind }
        return "\(kind) flow \(LogText.plain(flow))"
    }
}
