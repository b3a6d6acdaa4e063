import Comparison
import Glibc
import Synchronization

/// Shows the progress of a command on one line of a terminal, which it overwrites. Shows nothing if standard error is no
/// terminal.
final class ProgressLine: Sendable {
    /// The milliseconds between two updates.
    private static let pause: Int64 = 200

    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let start = ContinuousClock.now
    private let next = Atomic<Int64>(0)

    func show(_ progress: ComparisonProgress) {
        guard let milliseconds = turn() else { return }
        let percent = progress.expectedKeys > 0 ? " (\(min(100, progress.keys * 100 / progress.expectedKeys)) %)" : ""
        let rate = milliseconds > 0 ? Int64(progress.keys) * 1000 / milliseconds : 0
        write(
            "\(progress.step.rawValue) database \(progress.database): \(progress.keys) keys\(percent), \(rate)/s, "
                + "\(progress.pending) to read again, \(progress.different) different")
    }

    func show(_ text: String) {
        if turn() != nil { write(text) }
    }

    /// Prints a text that the line would show for as long as it applies, if there is no terminal for the line.
    func sayWithoutTerminal(_ text: String) {
        if !isTerminal { Console.complain(text) }
    }

    /// - Returns: the milliseconds since the beginning; `nil` if there is nothing to write now.
    private func turn() -> Int64? {
        guard isTerminal else { return nil }
        let elapsed = start.duration(to: .now)
        let (seconds, attoseconds) = elapsed.components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        guard milliseconds >= next.load(ordering: .relaxed) else { return nil }
        next.store(milliseconds + Self.pause, ordering: .relaxed)
        return milliseconds
    }

    /// Empties the line for what is printed next.
    func clear() {
        if isTerminal { write("") }
    }

    private func write(_ text: String) {
        let bytes = Array("\r\(text)\u{1B}[K".utf8)
        // If the reader is gone, there is nothing left to do.
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
