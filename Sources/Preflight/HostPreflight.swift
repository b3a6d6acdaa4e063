import Glibc
import Link

/// Checks the host on which the task runs: files and disk.
struct HostPreflight {
    /// The number of sockets and files besides those of the flows.
    private static let otherDescriptors = 64
    /// The number for each flow: its sockets to both sides, its spool and its deadlines.
    private static let descriptorsPerFlow = 8
    /// What an empty task writes to its state directory: the deadlines of each flow, and the small files of the task.
    private static let bytesPerFlow = 128 << 10
    private static let otherBytes = 1 << 20

    let options: PreflightOptions
    let source: SourceSide

    func findings() -> [PreflightFinding] { [descriptors()] + folders() + spool() }

    private func descriptors() -> PreflightFinding {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let needed = (source.shards ?? 1) * Self.descriptorsPerFlow + Self.otherDescriptors
        let text = "\(limit.rlim_cur) open files are allowed, about \(needed) are needed"
        guard limit.rlim_cur < rlim_t(needed) else { return PreflightFinding(.ok, .host, "open files", text) }
        return PreflightFinding(
            .fail, .host, "open files", text, remedy: "raise it: LimitNOFILE= of the unit, or ulimit -n")
    }

    /// The folders that a start creates.
    private func folders() -> [PreflightFinding] {
        let neededBytes = (source.shards ?? 1) * Self.bytesPerFlow + Self.otherBytes
        let state = FolderPreflight(
            topic: "state", setting: "stateDir", folder: options.stateDirectory, neededBytes: neededBytes
        ).finding()
        guard !options.spoolDirectory.isEmpty,
            !options.spoolDirectory.hasPrefix("\(options.stateDirectory)/")
        else { return [state] }
        let spool = FolderPreflight(
            topic: "spool folder", setting: "spool.dir", folder: options.spoolDirectory, neededBytes: 0
        ).finding()
        return spool.level == .ok ? [state] : [state, spool]
    }

    private func spool() -> [PreflightFinding] {
        guard options.spoolDiskBytes > 0 else {
            return [PreflightFinding(.ok, .host, "spool", "memory only (spool.diskBytes: 0)\(lasting)")]
        }
        let (path, _) = FolderPreflight.nearest(options.spoolDirectory)
        guard let free = FolderPreflight.freeBytes(at: path) else { return [] }
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
}
