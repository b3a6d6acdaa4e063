import Base
import Logging

@testable import Systemd

/// Log handlers that keep the records they get.
final class LogCapture: Sendable {
    private let kept = Lock<[LogEvent]>([])
    private let written = Lock<[String]>([])

    var events: [LogEvent] { kept.withLock { $0 } }
    var messages: [String] { events.map(\.message.description) }
    /// What `lineHandler` wrote.
    var lines: [String] { written.withLock { $0 } }

    var handler: Handler { Handler(capture: self) }
    var logger: Logger { Logger(label: "test") { _ in self.handler } }

    /// A real line handler, with its clock at 2026-01-02T03:04:05.678Z.
    func lineHandler(form: StderrLogHandler.Form = .text) -> StderrLogHandler {
        StderrLogHandler(
            level: .trace, form: form, now: { .seconds(1_767_323_045) + .milliseconds(678) },
            write: { line in self.written.withLock { $0.append(line) } })
    }

    struct Handler: LogHandler {
        let capture: LogCapture
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            var event = event
            event.metadata = merged(metadata, nil, event)
            capture.kept.withLock { $0.append(event) }
        }
    }
}

/// A record as a log statement makes it.
func event(
    _ message: Logger.Message, level: Logger.Level = .info, error: (any Error)? = nil, metadata: Logger.Metadata? = nil,
    line: UInt = 7
) -> LogEvent {
    LogEvent(
        level: level, message: message, error: error, metadata: metadata, source: nil, file: "Systemd/Some.swift",
        function: "run()", line: line)
}
