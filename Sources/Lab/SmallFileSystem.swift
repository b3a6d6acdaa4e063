import Glibc

/// A file system in memory that is full after so many bytes; gone with its owner.
package final class SmallFileSystem {
    package let path: String

    /// Whether this process may mount.
    package static var isPossible: Bool {
        guard geteuid() == 0, let folder = try? TemporaryFolder("mount") else { return false }
        return (try? SmallFileSystem(at: folder.file("probe"), bytes: 1 << 20)) != nil
    }

    /// Makes the folder `path`, if it is not there, and mounts the file system over it.
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

    // Whoever still holds a file there keeps it; the folder is free at once.
    deinit { umount2(path, Int32(MNT_DETACH)) }
}
