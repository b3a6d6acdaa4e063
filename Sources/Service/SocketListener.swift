import FoundationEssentials

/// Finds the process that listens on a Unix socket without connecting to it, because a process that hangs may have no room
/// for another connection. `/proc/net/unix` has the inode number of the socket, and so do the links in `/proc/<pid>/fd`.
enum SocketListener {
    private static let tableLimit = 16 << 20

    /// - Returns: `nil` if there is none, or none that this user may look into.
    static func process(at path: String) -> Int32? {
        guard let table = try? TextFile.read("/proc/net/unix", limit: tableLimit) else { return nil }
        let links = Set(table.split(separator: "\n").compactMap { link(of: $0, at: path) })
        guard !links.isEmpty else { return nil }
        let files = FileManager.default
        let processes = ((try? files.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }
        return processes.first { process in
            let folder = "/proc/\(process)/fd"
            return ((try? files.contentsOfDirectory(atPath: folder)) ?? []).contains { descriptor in
                (try? files.destinationOfSymbolicLink(atPath: "\(folder)/\(descriptor)")).map(links.contains) ?? false
            }
        }
    }

    /// The link in `/proc/<pid>/fd` for the listening socket in a line of `/proc/net/unix`:
    /// `<address>: <references> <protocol> <flags> <type> <state> <number> <path>`.
    private static func link(of line: Substring, at path: String) -> String? {
        let fields = line.split(separator: " ", maxSplits: 7)
        // __SO_ACCEPTCON: it listens.
        guard fields.count == 8, fields[7] == path, let flags = UInt32(fields[3], radix: 16), flags & 1 << 16 != 0
        else { return nil }
        return "socket:[\(fields[6])]"
    }
}
