import Glibc
import Synchronization

/// Standard output cannot be written.
struct OutputFailure: Error, CustomStringConvertible {
    let errno: Int32

    var description: String { "standard output: \(String(cString: strerror(errno)))" }
}

/// The output of the command line besides the log: results go to standard output, everything else to standard error.
enum Console {
    private static let hasFailed = Atomic<Bool>(false)

    /// Prints a result. The kernel has accepted it when this returns, for a pipe too.
    ///
    /// - Throws: `OutputFailure`; a command that only prints ends with it (74).
    static func say(_ text: String, terminator: String = "\n") throws(OutputFailure) {
        let bytes = Array((text + terminator).utf8)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            switch (count, errno) {
            case (1..., _): rest = rest.dropFirst(count)
            case (_, EINTR): continue
            case (_, EAGAIN):
                var output = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
                _ = poll(&output, 1, -1)
            case (_, let code): throw OutputFailure(errno: code)
            }
        }
    }

    /// Prints the progress of a command that does something. The command goes on if this fails, and only the first failure
    /// is reported.
    static func report(_ text: String) {
        do { try say(text) } catch {
            if !hasFailed.exchange(true, ordering: .relaxed) { complain("\(error); this goes on without it") }
        }
    }

    /// Writes each line to standard error, with the program's name before it.
    static func complain(_ text: String) {
        for line in text.split(separator: "\n") {
            let bytes = Array("df2redis: \(line)\n".utf8)
            // If the reader is gone, there is nothing left to do.
            _ = write(STDERR_FILENO, bytes, bytes.count)
        }
    }
}
