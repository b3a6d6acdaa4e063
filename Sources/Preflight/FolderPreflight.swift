import Glibc
import Link
import Replication

/// Looks at a folder that a start creates and writes to; what keeps a start from it ends the task (73 or 74).
struct FolderPreflight {
    /// In a word or two.
    let topic: String
    /// The key of the configuration.
    let setting: String
    /// An absolute path.
    let folder: String
    /// What a start writes at once.
    let neededBytes: Int
    var isRoot = geteuid() == 0

    func finding() -> PreflightFinding {
        let (path, isThere) = Self.nearest(folder)
        if let obstacle = obstacle(at: path) {
            let reason = String(cString: strerror(obstacle))
            // Of what this user may not do, the task's user may do more; root may do all that anybody can.
            guard isRoot || obstacle != EACCES else {
                return PreflightFinding(
                    .warn, .host, topic, "\(path) is not writable for this user (\(reason))",
                    remedy: "the task's user (df2redis, for the service) must be able to write to \(setting) \(folder)")
            }
            return PreflightFinding(
                .fail, .host, topic, "nothing can be created in \(path) (\(reason))",
                remedy: "set \(setting) to a folder that the task can write to: a start would end with this")
        }
        if let free = Self.freeBytes(at: path), free < neededBytes {
            return PreflightFinding(
                .fail, .host, topic,
                "\(SizeText.bytes(free)) free in \(path), a start needs \(SizeText.bytes(neededBytes))",
                remedy: "free some space, or set \(setting) to another disk")
        }
        return PreflightFinding(.ok, .host, topic, isThere ? "\(path) is writable" : "\(folder) can be made")
    }

    /// - Returns: `errno`; `nil`: something can be created there.
    private func obstacle(at path: String) -> Int32? {
        var info = stat()
        if stat(path, &info) == 0, info.st_mode & S_IFMT != S_IFDIR { return ENOTDIR }
        guard access(path, W_OK | X_OK) == 0 else { return errno }
        var system = statvfs()
        // Of a file system without room of its own, such as /proc, the rights say nothing.
        guard statvfs(path, &system) == 0, system.f_blocks == 0 else { return nil }
        do throws(SystemError) {
            close(try UnnamedFile.open(in: path, purpose: setting))
            return nil
        } catch {
            return error.errno
        }
    }

    /// `path`, or the nearest folder above it that there is.
    static func nearest(_ path: String) -> (path: String, isThere: Bool) {
        var (folder, isThere) = (path.isEmpty ? "." : path, true)
        while access(folder, F_OK) != 0, let slash = folder.lastIndex(of: "/") {
            folder = slash == folder.startIndex ? "/" : String(folder[..<slash])
            isThere = false
        }
        return (folder, isThere)
    }

    /// - Returns: what others than root may take; `nil`: it is not known.
    static func freeBytes(at path: String) -> Int? {
        var system = statvfs()
        // Without blocks there is no limit, or no file.
        guard statvfs(path, &system) == 0, system.f_blocks > 0 else { return nil }
        return Int(clamping: UInt64(system.f_bavail) &* UInt64(system.f_frsize))
    }
}
