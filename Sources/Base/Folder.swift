package import Glibc

/// Functions on the paths of folders.
package enum Folder {
    /// Returns the folder part of a path.
    package static func of(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Creates a folder and its missing parents; the path is absolute.
    ///
    /// - Parameters:
    ///   - mode: the mode of the folder itself.
    ///   - parentMode: the mode of parents that are created; `nil` for the same.
    package static func make(_ path: String, mode: mode_t, parentMode: mode_t? = nil) throws(SystemError) {
        var built = ""
        let parts = path.split(separator: "/")
        for (index, part) in parts.enumerated() {
            built += "/\(part)"
            let mode = index < parts.count - 1 ? parentMode ?? mode : mode
            if mkdir(built, mode) != 0, errno != EEXIST { throw SystemError("mkdir", errno: errno, peer: built) }
        }
    }
}
