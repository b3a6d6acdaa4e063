import Base
package import Logging

/// The last records of the log that an operator wants to see: notices, warnings and errors.
package final class EventLog: Sendable {
    package struct Event: Sendable, Equatable {
        /// Unix time in milliseconds.
        package var time: Int64
        package var level: Logger.Level
        package var message: String
        /// The event's name, such as `fullSyncDone`; `nil` for a record without one.
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

    /// Returns a logger that writes where `logger` writes, and also notes the records that belong here.
    package func noting(_ logger: Logger) -> Logger {
        let handler = NotingLogHandler(logger.handler, log: self)
        return Logger(label: logger.label) { _ in handler }
    }
}

/// A log handler in front of another one: it notes each record of level notice or above, whether the record is logged or
/// not.
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
