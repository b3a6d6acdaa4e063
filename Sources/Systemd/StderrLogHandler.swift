import Base
import Glibc
package import Logging

/// Log records as lines on standard error, for a terminal, a file or a container's log.
///
/// ```
/// text  2026-01-02T03:04:05.678Z warning [flow=3 phase=stable] lag is 12 s
/// json  {"time":"2026-01-02T03:04:05.678Z","level":"warning","message":"lag is 12 s","fields":{"flow":"3",...}}
/// ```
/// A record is one line whatever it holds: control characters are written out.
package struct StderrLogHandler: LogHandler {
    package enum Form: Sendable {
        case text
        case json
    }

    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let form: Form
    private let now: @Sendable () -> Duration
    private let write: @Sendable (String) -> Void

    /// - Parameters:
    ///   - now: the time since 1970-01-01T00:00:00Z.
    ///   - write: takes a line with its newline, without waiting.
    package init(
        level: Logger.Level = .info, form: Form = .text, now: @escaping @Sendable () -> Duration = Self.sinceEpoch,
        write: @escaping @Sendable (String) -> Void = Self.writeToStderr
    ) {
        logLevel = level
        self.form = form
        self.now = now
        self.write = write
    }

    package subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let metadata = merged(metadata, metadataProvider, event)
        let message = LogText.message(of: event)
        let time = LogText.timestamp(now())
        switch form {
        case .text:
            write("\(time) \(event.level) \(LogText.context(metadata))\(LogText.printable(message))\n")
        case .json:
            let fields = LogText.ordered(metadata).map {
                "\(JSONText.quoted($0.key)):\(JSONText.quoted(LogText.plain($0.value)))"
            }
            let head = "\"time\":\"\(time)\",\"level\":\"\(event.level)\",\"message\":\(JSONText.quoted(message))"
            write("{\(head)\(fields.isEmpty ? "" : ",\"fields\":{\(fields.joined(separator: ","))}")}\n")
        }
    }
}

extension StderrLogHandler {
    package static let sinceEpoch: @Sendable () -> Duration = { WallClock.now() }

    package static let writeToStderr: @Sendable (String) -> Void = { line in
        LogQueue.shared.add(bytes: line.utf8.count) { writeAll(line, to: STDERR_FILENO) }
    }

    /// Writes `line`. What a terminal or a pipe that is gone does not take is lost, because nobody is left to report to.
    static func writeAll(_ line: String, to descriptor: Int32) {
        var line = line
        line.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                } else if count == 0 || errno != EINTR {
                    return
                }
            }
        }
    }
}
