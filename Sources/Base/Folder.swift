package import Glibc

/// Folders, by their paths.
package enum Folder {
    /// The folder that a path is in, as far as the path says it.
    package static func of(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Makes a folder, and those above it that are missing; the path is absolute.
    ///
    /// - Parameters:
    ///   - mode: of the folder itself.
    ///   - parentMode: of those above it that are made; `nil`: the same.
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
