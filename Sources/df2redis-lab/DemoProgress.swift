import Foundation
import Lab

/// Prints while the demo waits: the daemon's log as it grows, and a line of figures twice a second.
final class DemoProgress {
    private let daemon: Daemon
    private let target: Destination
    private let start = ContinuousClock.now
    private var printedLines = 0
    private var last: (bytes: Int, time: ContinuousClock.Instant)

    init(_ daemon: Daemon, _ target: Destination) throws {
        self.daemon = daemon
        self.target = target
        last = (try target.inputBytes(), .now)
    }

    /// Prints until `condition` holds.
    ///
    /// - Throws: `LabError` if it does not hold within `timeout`, or the daemon ends before.
    func show(until what: String, timeout: Duration = .seconds(60), _ condition: () throws -> Bool) throws {
        let deadline = ContinuousClock.now + timeout
        var nextFigures = ContinuousClock.now
        while true {
            let isRunning = daemon.process.isRunning
            let holds = try condition()
            printLog()
            if holds { return }
            if !isRunning { throw LabError("df2redis ended before \(what)") }
            if ContinuousClock.now >= deadline { throw LabError("not within \(timeout): \(what)") }
            if ContinuousClock.now >= nextFigures {
                try printFigures()
                nextFigures = .now + .milliseconds(500)
            }
            blockThread(for: .milliseconds(50))
        }
    }

    private func printLog() {
        // The last part may be a line that is still being written.
        let lines = daemon.log.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        for line in lines.dropFirst(printedLines) { say("  | \(line)") }
        printedLines = max(printedLines, lines.count)
    }

    private func printFigures() throws {
        let (bytes, now) = (try target.inputBytes(), ContinuousClock.now)
        let rate = Double(bytes - last.bytes) / 1e6 / max((now - last.time).seconds, 0.001)
        last = (bytes, now)
        let keys = try target.keyCount()
        var parts = [
            "\((now - start).seconds.fixed(1).leftPadded(6)) s", "\(String(keys).leftPadded(8)) keys in the target",
            "\(rate.fixed(1).leftPadded(6)) MB/s",
        ]
        if let status = daemon.status { parts += Self.figures(status) }
        say(parts.joined(separator: "  "))
    }

    /// Phase, flows and lag from the daemon's status file.
    private static func figures(_ status: [String: Any]) -> [String] {
        var parts: [String] = []
        if let phase = status["phase"] as? String { parts.append(phase) }
        if let flows = status["flows"] as? [Any] { parts.append("\(flows.count) flows") }
        if let lag = status["lagRecords"] as? Int { parts.append("lag \(lag) records") }
        return parts
    }
}
