import Base
package import Logging

/// The last records of the log that an operator wants to see: notices, warnings and errors.
package final class EventLog: Sendable {
    package struct Event: Sendable, Equatable {
        /// Unix time in milliseconds.
        package var time: Int64
        package var level: Logger.Level
        package var message: String
        /// The event's word, such as `fullSyncDone`; `nil` for a record that is none of them.
        package var event: String?
        package var flow: String?
    }

    private static let keptEvents = 200
    private let events = Lock<[Event]>([])

    package init() {}

    /// Oldest first.
    package var latest: [Event] { events.withLock { $0 } }

    func append(_ event: Event) {
        events.withLock { events in
            if events.count == Self.keptEvents { events.removeFirst() }
            events.append(event)
        }
    }

    /// A logger that writes where `logger` writes, and notes here what is worth it.
    package func noting(_ logger: Logger) -> Logger {
        let handler = NotingLogHandler(logger.handler, log: self)
        return Logger(label: logger.label) { _ in handler }
    }
}

/// A log handler in front of another one: what is a notice or more is noted, whether it is logged or not.
private struct NotingLogHandler: LogHandler {
    private static let least = Logger.Level.notice
    private var wrapped: any LogHandler
    private let log: EventLog

    init(_ wrapped: any LogHandler, log: EventLog) {
        self.wrapped = wrapped
        self.log = log
    }

    var logLevel: Logger.Level {
        get { min(wrapped.logLevel, Self.least) }
        set { wrapped.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { wrapped.metadata }
        set { wrapped.metadata = newValue }
    }

    var metadataProvider: Logger.MetadataProvider? {
        get { wrapped.metadataProvider }
        set { wrapped.metadataProvider = newValue }
    }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { wrapped[metadataKey: key] }
        set { wrapped[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) {
        if event.level >= Self.least {
            log.append(
                .init(
                    time: WallClock.milliseconds(), level: event.level, message: event.message.description,
                    event: event.metadata?["event"].map { "\($0)" }, flow: event.metadata?["flow"].map { "\($0)" }))
        }
        if event.level >= wrapped.logLevel { wrapped.log(event: event) }
    }
}
