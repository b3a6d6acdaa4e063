import Comparison
import Glibc
import Synchronization

/// How far a command has come, on one line of a terminal that is written over; nothing where standard error is none.
final class ProgressLine: Sendable {
    /// Milliseconds between two writings.
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

    /// What the line says for as long as it lasts, where nobody sees the line.
    func sayWithoutTerminal(_ text: String) {
        if !isTerminal { Console.complain(text) }
    }

    /// - Returns: milliseconds since the beginning; `nil`: nothing is to be written now.
    private func turn() -> Int64? {
        guard isTerminal else { return nil }
        let elapsed = start.duration(to: .now)
        let (seconds, attoseconds) = elapsed.components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        guard milliseconds >= next.load(ordering: .relaxed) else { return nil }
        next.store(milliseconds + Self.pause, ordering: .relaxed)
        return milliseconds
    }

    /// Leaves an empty line for what is printed next.
    func clear() {
        if isTerminal { write("") }
    }

    private func write(_ text: String) {
        let bytes = Array("\r\(text)\u{1B}[K".utf8)
        // Nothing is left to do for a reader that has gone.
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
