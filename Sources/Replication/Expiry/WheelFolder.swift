import Glibc
import Link

/// The folder `<task>.expiry` in the state directory, which has a subfolder for the `ExpiryWheel` of each flow.
enum WheelFolder {
    /// Creates a folder, which may exist already.
    ///
    /// - Throws: `SystemError`.
    static func make(_ path: String) throws(SystemError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw SystemError("mkdir", errno: errno, peer: path)
        }
    }

    /// Removes the folder with everything in it, if it exists.
    static func remove(_ path: String) throws(SystemError) {
        for name in entries(of: path) {
            if unlink("\(path)/\(name)") != 0, errno == EISDIR || errno == EPERM { try remove("\(path)/\(name)") }
        }
        guard rmdir(path) == 0 || errno == ENOENT else { throw SystemError("rmdir", errno: errno, peer: path) }
    }

    /// The names in a folder; empty if there is no such folder.
    static func entries(of path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}
