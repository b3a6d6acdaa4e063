import Base
import Glibc

/// The resources that this process uses.
struct ProcessFigures: Sendable {
    /// User and system time since the process began.
    var processorTime = Duration.zero
    var residentBytes = 0
    var openDescriptors = 0

    /// Reads the figures from the kernel; a figure that is not available is zero.
    static func now() -> ProcessFigures {
        var figures = ProcessFigures()
        var usage = rusage()
        if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
            figures.processorTime = duration(usage.ru_utime) + duration(usage.ru_stime)
        }
        // Pages: size, resident, ...
        let fields = text(of: "/proc/self/statm").split(separator: " ")
        if fields.count > 1, let pages = Int(fields[1]) {
            figures.residentBytes = pages * Int(sysconf(Int32(_SC_PAGESIZE)))
        }
        if let folder = opendir("/proc/self/fd") {
            // Without `.`, `..` and the descriptor of the folder itself.
            figures.openDescriptors = -3
            while readdir(folder) != nil { figures.openDescriptors += 1 }
            closedir(folder)
        }
        return figures
    }

    private static func duration(_ time: timeval) -> Duration {
        .seconds(time.tv_sec) + .microseconds(time.tv_usec)
    }

    private static func text(of path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = retryingInterrupts { read(descriptor, &bytes, bytes.count) }
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }
}
