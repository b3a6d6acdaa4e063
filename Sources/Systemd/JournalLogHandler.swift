package import Logging

/// Log records with fields, straight to systemd's journal.
///
/// | field | from |
/// |---|---|
/// | `MESSAGE` | the message and its error, the metadata in brackets before it (without task and event) |
/// | `PRIORITY` | the level, as syslog numbers it |
/// | `SYSLOG_IDENTIFIER` | `df2redis` |
/// | `MESSAGE_ID` | `EventID` of the metadata key `event` |
/// | `CODE_FILE` `CODE_LINE` `CODE_FUNC` | the log statement |
/// | `DF2REDIS_FLOW`, `DF2REDIS_LAG_RECORDS` ... | metadata `flow`, `lagRecords` ... |
///
/// The brackets repeat what the fields say because plain `journalctl` shows `MESSAGE` only, and 'flow closed' without the
/// flow helps nobody; the task is in the unit's name already.
package struct JournalLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    /// Writes the records that journald refuses.
    private var fallback: StderrLogHandler
    private let queue: LogQueue
    private let send: @Sendable (LogRecord) -> Int32

    package init(level: Logger.Level = .info) {
        self.init(level: level, fallback: StderrLogHandler(level: level), queue: .shared) { $0.send() }
    }

    /// - Parameter send: as `LogRecord.send()`.
    init(
        level: Logger.Level, fallback: StderrLogHandler, queue: LogQueue,
        send: @escaping @Sendable (LogRecord) -> Int32
    ) {
        logLevel = level
        self.fallback = fallback
        self.queue = queue
        self.send = send
    }

    package subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let metadata = merged(metadata, metadataProvider, event)
        let record = Self.record(of: event, metadata)
        queue.add(bytes: record.byteCount) { [fallback, send] in
            if send(record) >= 0 { return }
            var event = event
            event.metadata = metadata
            fallback.log(event: event)
        }
    }
}

extension JournalLogHandler {
    static func record(of event: LogEvent, _ metadata: Logger.Metadata) -> LogRecord {
        var record = LogRecord()
        // Line breaks stay: the journal shows them indented, and no record can be forged there. Other control characters
        // would make `journalctl` show nothing but '[blob data]'. The fields below keep every byte.
        let message = LogText.printable(LogText.message(of: event), keepsLines: true)
        record.append("MESSAGE", LogText.context(metadata, without: ["task", "event"]) + message)
        record.append("PRIORITY", String(priority(of: event.level)))
        record.append("SYSLOG_IDENTIFIER", "df2redis")
        if let name = metadata["event"], let id = EventID(rawValue: LogText.plain(name)) {
            record.append("MESSAGE_ID", id.messageID)
        }
        record.append("CODE_FILE", event.file)
        record.append("CODE_LINE", String(event.line))
        record.append("CODE_FUNC", event.function)
        for (key, value) in LogText.ordered(metadata) {
            record.append(fieldName(key), LogText.plain(value))
        }
        return record
    }

    /// The syslog priority (`sd-daemon(3)`, `SD_ERR` and its kin).
    static func priority(of level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// The journal field of a metadata key: `lagRecords`, `lag-records` and `lag.records` become
    /// `DF2REDIS_LAG_RECORDS`.
    static func fieldName(_ key: String) -> String {
        var name = "DF2REDIS_"
        var previous: Character = "_"
        for character in key {
            let isWord = character.isASCII && (character.isLetter || character.isNumber)
            if isWord, character.isUppercase, previous.isLowercase || previous.isNumber { name += "_" }
            if isWord {
                name += character.uppercased()
            } else if !name.hasSuffix("_") {
                name += "_"
            }
            previous = character
        }
        return String(name.prefix(LogRecord.maximumNameBytes))
    }
}
