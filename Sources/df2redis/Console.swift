import Glibc

/// What the command line says outside the log.
enum Console {
    /// Writes each line to standard error, with the program's name before it.
    static func complain(_ text: String) {
        for line in text.split(separator: "\n") {
            let bytes = Array("df2redis: \(line)\n".utf8)
            // Nothing is left to do for a reader that has gone.
            _ = write(STDERR_FILENO, bytes, bytes.count)
        }
    }
}
