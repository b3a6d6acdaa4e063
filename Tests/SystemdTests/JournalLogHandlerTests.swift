import Base
import Glibc
import Logging
import Testing

@testable import Systemd

struct JournalLogHandlerTests {
    private func fields(_ event: LogEvent, metadata: Logger.Metadata = [:]) -> [String] {
        let records = Lock<[LogRecord]>([])
        let queue = LogQueue(limitBytes: 1 << 20)
        var handler = JournalLogHandler(level: .trace, fallback: LogCapture().lineHandler(), queue: queue) { record in
            records.withLock { $0.append(record) }
            return 0
        }
        handler.metadata = metadata
        handler.log(event: event)
        queue.flush()
        return records.withLock { $0 }.flatMap(\.fields)
    }

    @Test func `a record has the fields of journald and those of df2redis`() {
        let event = event(
            "changes are followed", level: .notice,
            metadata: ["event": "stable", "flow": "3", "phase": "stable", "lsn": "812", "lagRecords": "0"])
        #expect(
            fields(event, metadata: ["task": "prod"]) == [
                "MESSAGE=[flow=3 phase=stable lsn=812 lagRecords=0] changes are followed",
                "PRIORITY=5",
                "SYSLOG_IDENTIFIER=df2redis",
                "MESSAGE_ID=9c8f5ef60deb4903aaf01572d977db36",
                "CODE_FILE=Systemd/Some.swift",
                "CODE_LINE=7",
                "CODE_FUNC=run()",
                "DF2REDIS_TASK=prod",
                "DF2REDIS_FLOW=3",
                "DF2REDIS_PHASE=stable",
                "DF2REDIS_LSN=812",
                "DF2REDIS_EVENT=stable",
                "DF2REDIS_LAG_RECORDS=0",
            ])
    }

    @Test func `an event without an id is still written as a field`() {
        let fields = fields(event("x", metadata: ["event": "noSuchEvent"]))
        #expect(fields.contains("DF2REDIS_EVENT=noSuchEvent"))
        #expect(!fields.contains { $0.hasPrefix("MESSAGE_ID=") })
    }

    @Test func `line breaks and NUL stay within their field, and the message stays readable`() {
        let fields = fields(event("two\nlines\0", metadata: ["key": "a\nPRIORITY=0\0b"]))
        #expect(fields.contains("DF2REDIS_KEY=a\nPRIORITY=0\0b"))
        #expect(fields.first?.hasSuffix("] two\nlines\\u{0}") == true)
        #expect(fields.filter { $0.hasPrefix("PRIORITY=") } == ["PRIORITY=6"])
    }

    @Test(arguments: [
        (Logger.Level.trace, 7), (.debug, 7), (.info, 6), (.notice, 5), (.warning, 4), (.error, 3), (.critical, 2),
    ])
    func `a level becomes a syslog priority`(level: Logger.Level, priority: Int) {
        #expect(fields(event("x", level: level)).contains("PRIORITY=\(priority)"))
    }

    @Test(arguments: [
        ("task", "DF2REDIS_TASK"), ("flow", "DF2REDIS_FLOW"), ("lagRecords", "DF2REDIS_LAG_RECORDS"),
        ("lag-records", "DF2REDIS_LAG_RECORDS"), ("lag.records", "DF2REDIS_LAG_RECORDS"),
        ("eofToken", "DF2REDIS_EOF_TOKEN"),
        ("LSN", "DF2REDIS_LSN"), ("p99", "DF2REDIS_P99"), ("ürgent", "DF2REDIS_RGENT"), ("_x", "DF2REDIS_X"),
    ])
    func `a metadata key becomes a field name`(key: String, name: String) {
        #expect(JournalLogHandler.fieldName(key) == name)
    }

    @Test func `a long metadata key is cut to journald's limit`() {
        #expect(JournalLogHandler.fieldName(String(repeating: "k", count: 100)).utf8.count == 64)
    }

    @Test func `a record that journald refuses goes to standard error with its metadata`() {
        let log = LogCapture()
        let queue = LogQueue(limitBytes: 1 << 20)
        var handler = JournalLogHandler(level: .info, fallback: log.lineHandler(), queue: queue) { _ in -ENOBUFS }
        handler.metadata = ["task": "prod"]
        handler.log(event: event("left", metadata: ["flow": "3"]))
        queue.flush()
        #expect(log.lines == ["2026-01-02T03:04:05.678Z info [task=prod flow=3] left\n"])
    }

    @Test func `libsystemd accepts a record of any content and size`() {
        // Without a journald it drops the record and returns 0, but only after its checks.
        var record = LogRecord()
        record.append("MESSAGE", String(repeating: "\n\0", count: 500_000))
        record.append("DF2REDIS_FLOW", "")
        #expect(record.send() == 0)
        #expect(LogRecord().send() == -EINVAL)
    }
}

struct LogOutputTests {
    @Test func `a logger's records carry the process's metadata and are limited`() {
        let log = LogCapture()
        let limiter = RateLimiter(burst: 1, interval: .seconds(10))
        let output = LogOutput(log.handler, metadata: ["task": "prod"], limiter: limiter)
        let logger = Logger(label: "test") { _ in output.makeHandler() }
        for number in 1...3 { logger.warning("try \(number)") }
        output.reportSuppressed()
        #expect(log.messages == ["try 1"])
        output.flush()
        #expect(log.messages == ["try 1", "2 more like this within 10.0 seconds not shown; the last: try 3"])
        #expect(log.events.allSatisfy { $0.metadata?["task"] == "prod" })
    }

    @Test func `a process under systemd logs to the journal`() async {
        await #expect(processExitsWith: .success) {
            setenv("JOURNAL_STREAM", identity(of: STDERR_FILENO), 1)
            let output = LogOutput.bootstrap(level: .info, metadata: ["task": "prod"])
            let handler = Logger(label: "test").handler
            #expect(handler is RateLimitedLogHandler<JournalLogHandler>)
            #expect(output.makeHandler().metadata == ["task": "prod"])
        }
    }

    @Test func `a process outside systemd writes lines to standard error`() async {
        await #expect(processExitsWith: .success) {
            unsetenv("JOURNAL_STREAM")
            _ = LogOutput.bootstrap(level: .debug)
            let logger = Logger(label: "test")
            #expect(logger.handler is RateLimitedLogHandler<StderrLogHandler>)
            #expect(logger.logLevel == .debug)
        }
    }
}
