import Glibc
import Link

/// Checks the host on which the task runs: files and disk.
struct HostPreflight {
    /// The number of sockets and files besides those of the flows.
    private static let otherDescriptors = 64
    /// The number for each flow: its sockets to both sides, its spool and its deadlines.
    private static let descriptorsPerFlow = 8

    let options: PreflightOptions
    let source: SourceSide

    func findings() -> [PreflightFinding] { [descriptors(), stateDirectory()] + spool() }

    private func descriptors() -> PreflightFinding {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let needed = (source.shards ?? 1) * Self.descriptorsPerFlow + Self.otherDescriptors
        let text = "\(limit.rlim_cur) open files are allowed, about \(needed) are needed"
        guard limit.rlim_cur < rlim_t(needed) else { return PreflightFinding(.ok, .host, "open files", text) }
        return PreflightFinding(
            .fail, .host, "open files", text, remedy: "raise it: LimitNOFILE= of the unit, or ulimit -n")
    }

    private func stateDirectory() -> PreflightFinding {
        let (path, isThere) = Self.nearest(options.stateDirectory)
        guard access(path, W_OK | X_OK) == 0 else {
            return PreflightFinding(
                .warn, .host, "state", "\(path) is not writable for this user (\(String(cString: strerror(errno))))",
                remedy:
                    "the task's user (df2redis, for the service) must be able to write to stateDir \(options.stateDirectory)"
            )
        }
        return PreflightFinding(
            .ok, .host, "state", isThere ? "\(path) is writable" : "\(options.stateDirectory) can be made")
    }

    private func spool() -> [PreflightFinding] {
        guard options.spoolDiskBytes > 0 else {
            return [PreflightFinding(.ok, .host, "spool", "memory only (spool.diskBytes: 0)\(lasting)")]
        }
        let (path, _) = Self.nearest(options.spoolDirectory)
        var system = statvfs()
        guard statvfs(path, &system) == 0 else { return [] }
        let free = Int(clamping: UInt64(system.f_bavail) &* UInt64(system.f_frsize))
        let text =
            "\(SizeText.bytes(free)) free in \(path) for up to \(SizeText.bytes(options.spoolDiskBytes))\(lasting)"
        guard free < options.spoolDiskBytes else { return [PreflightFinding(.ok, .host, "spool", text)] }
        return [
            PreflightFinding(
                .warn, .host, "spool", text,
                remedy: "free some space, set spool.dir to a larger disk, or lower spool.diskBytes to what there is")
        ]
    }

    /// How long the queue lasts while the target takes nothing, as a part of a sentence.
    private var lasting: String {
        guard let rate = source.inputRate, rate >= 1024 else { return "" }
        let bytes = Double(options.spoolDiskBytes + options.spoolMemoryBytes)
        return
            ": \(SizeText.seconds(bytes / rate)) without a target, at the present \(SizeText.bytes(Int(rate)))/s that clients send"
    }

    /// `path`, or the nearest folder above it that exists.
    private static func nearest(_ path: String) -> (path: String, isThere: Bool) {
        var (folder, isThere) = (path.isEmpty ? "." : path, true)
        while access(folder, F_OK) != 0, let slash = folder.lastIndex(of: "/") {
            folder = slash == folder.startIndex ? "/" : String(folder[..<slash])
            isThere = false
        }
        return (folder, isThere)
    }
}
