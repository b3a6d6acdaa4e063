import Glibc

/// A file system in memory with a limited size; it is unmounted with its owner.
package final class SmallFileSystem {
    package let path: String

    /// Whether this process may mount.
    package static var isPossible: Bool {
        guard geteuid() == 0, let folder = try? TemporaryFolder("mount") else { return false }
        return (try? SmallFileSystem(at: folder.file("probe"), bytes: 1 << 20)) != nil
    }

    /// Creates the folder `path` if it does not exist, and mounts the file system over it.
    package init(at path: String, bytes: Int) throws {
        self.path = path
        var built = ""
        for part in path.split(separator: "/") {
            built += "/\(part)"
            mkdir(built, 0o750)
        }
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(bytes)") == 0 else {
            throw LabError.system("mounting", path, errno: errno)
        }
    }

    // Files that are still open stay usable; the folder is free at once.
    deinit { umount2(path, Int32(MNT_DETACH)) }
}
