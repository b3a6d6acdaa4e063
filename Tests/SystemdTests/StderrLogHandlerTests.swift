import Base
import Glibc
import Logging
import Testing

@testable import Systemd

struct StderrLogHandlerTests {
    private struct Refusal: Error, CustomStringConvertible {
        var description: String { "connection refused" }
    }

    private func line(_ event: LogEvent, metadata: Logger.Metadata = [:], form: StderrLogHandler.Form = .text) -> String
    {
        let log = LogCapture()
        var handler = log.lineHandler(form: form)
        handler.metadata = metadata
        handler.log(event: event)
        return log.lines.joined()
    }

    @Test func `a line has time, level, context and message`() {
        let event = event("lag is 12 s", level: .warning, metadata: ["phase": "stable", "flow": "3"])
        #expect(line(event) == "2026-01-02T03:04:05.678Z warning [flow=3 phase=stable] lag is 12 s\n")
    }

    @Test func `a line without metadata has no brackets`() {
        #expect(line(event("started")) == "2026-01-02T03:04:05.678Z info started\n")
    }

    @Test func `task, flow, phase and lsn come first, the others by name`() {
        let metadata: Logger.Metadata = [
            "keys": "1", "lsn": "9", "bytes": "2", "phase": "full", "flow": "0", "task": "p",
        ]
        #expect(line(event("x", metadata: metadata)).contains("[task=p flow=0 phase=full lsn=9 bytes=2 keys=1] x\n"))
    }

    @Test func `the statement's metadata goes before the logger's`() {
        let text = line(event("x", metadata: ["flow": "3"]), metadata: ["flow": "1", "task": "prod"])
        #expect(text.contains("[task=prod flow=3] x"))
    }

    @Test func `an error follows the message`() {
        let text = line(event("the source is lost", level: .error, error: Refusal()))
        #expect(text.hasSuffix(" error the source is lost: connection refused\n"))
    }

    @Test func `no content of a record can break or forge a line`() {
        let event = event(
            "a\nb\u{1B}[2J", metadata: ["key": "k\r\n2026-01-02T03:04:05.678Z info forged", "na\nme": "\u{85}"])
        let text = line(event)
        #expect(
            text
                == "2026-01-02T03:04:05.678Z info "
                + "[key=\"k\\r\\n2026-01-02T03:04:05.678Z info forged\" na\\nme=\\u{85}] a\\nb\\u{1b}[2J\n")
    }

    @Test(arguments: [
        ("plain", "k=plain"), ("", "k=\"\""), ("two words", "k=\"two words\""), ("a\"b", "k=\"a\\\"b\""),
        ("a=b", "k=\"a=b\""), ("a]", "k=\"a]\""), ("a\\n", "k=\"a\\\\n\""),
    ])
    func `an ambiguous value is quoted`(value: String, expected: String) {
        #expect(LogText.context(["k": "\(value)"]) == "[\(expected)] ")
    }

    @Test func `lists and dictionaries are readable`() {
        #expect(LogText.plain(["0", "3"]) == "0, 3")
        #expect(LogText.plain(["b": "2", "a": ["x", "y"]]) == "a=x, y, b=2")
        #expect(LogText.plain(.stringConvertible(42)) == "42")
    }

    @Test func `a JSON line is one object, whatever the record contains`() {
        let event = event("a \"b\"\n\\", level: .error, metadata: ["flow": "3", "key": "\u{1}"])
        #expect(
            line(event, form: .json)
                == #"{"time":"2026-01-02T03:04:05.678Z","level":"error","message":"a \"b\"\n\\","#
                + #""fields":{"flow":"3","key":"\u0001"}}"# + "\n")
    }

    @Test func `a JSON line without metadata has no fields`() {
        let expected = #"{"time":"2026-01-02T03:04:05.678Z","level":"info","message":"x"}"# + "\n"
        #expect(line(event("x"), form: .json) == expected)
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (951_782_400_999, "2000-02-29T00:00:00.999Z"),
        (4_102_444_799_001, "2099-12-31T23:59:59.001Z"),
    ])
    func `a timestamp is UTC with milliseconds`(milliseconds: Int, expected: String) {
        #expect(LogText.timestamp(.milliseconds(milliseconds)) == expected)
    }

    @Test func `a line larger than a pipe arrives whole`() throws {
        var pipe: [Int32] = [-1, -1]
        #expect(Glibc.pipe(&pipe) == 0)
        let (reading, writing) = (pipe[0], pipe[1])
        let text = String(repeating: "0123456789abcdef", count: 20_000) + "\n"
        var thread = pthread_t()
        // The writer blocks on a full pipe, so it needs a thread of its own.
        let box = Unmanaged.passRetained(Lock((text: text, descriptor: writing)))
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let job = Unmanaged<Lock<(text: String, descriptor: Int32)>>.fromOpaque(argument).takeRetainedValue()
                job.withLock {
                    StderrLogHandler.writeAll($0.text, to: $0.descriptor)
                    close($0.descriptor)
                }
                return nil
            }, box.toOpaque())
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while case let count = read(reading, &buffer, buffer.count), count > 0 { received += buffer[..<count] }
        pthread_join(thread, nil)
        close(reading)
        #expect(String(decoding: received, as: UTF8.self) == text)
    }

    @Test func `a closed pipe is no error`() async {
        await #expect(processExitsWith: .success) {
            signal(SIGPIPE, SIG_IGN)
            var pipe: [Int32] = [-1, -1]
            #expect(Glibc.pipe(&pipe) == 0)
            close(pipe[0])
            StderrLogHandler.writeAll("nobody reads this\n", to: pipe[1])
        }
    }
}
