package import Logging

/// A log handler in front of another one: a `RateLimiter` holds back and counts repeated records.
///
/// The kind of a record is its metadata `kind`, or else its log statement. The metadata `flow` is part of it, so that the
/// flows do not use up each other's share.
package struct RateLimitedLogHandler<Wrapped: LogHandler>: LogHandler {
    private var wrapped: Wrapped
    /// The handler before any logger has added metadata: the record of a count has the metadata of its own records.
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
