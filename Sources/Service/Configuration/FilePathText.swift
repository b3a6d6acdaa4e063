import Glibc

/// Joins and cleans paths as text, without access to the file system.
enum FilePathText {
    /// Returns `path` as an absolute path: relative to `base` unless it starts with `/`; `.` and `..` are taken out.
    static func absolute(_ path: String, relativeTo base: String) -> String {
        var parts: [Substring] = []
        for part in (path.hasPrefix("/") ? path : base + "/" + path).split(separator: "/") where part != "." {
            if part == ".." {
                _ = parts.popLast()
            } else {
                parts.append(part)
            }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// Returns `path` as an absolute path, for readers that run in another folder than this process; an empty path stays
    /// empty.
    static func inWorkingDirectory(_ path: String) -> String {
        guard !path.isEmpty, let buffer = getcwd(nil, 0) else { return path }
        defer { free(buffer) }
        return absolute(path, relativeTo: String(cString: buffer))
    }

    /// Returns the folder of an absolute path.
    static func directory(of path: String) -> String {
        absolute("..", relativeTo: path)
    }

    /// Returns the folders that lead to an absolute path, from the root on.
    static func folders(above path: String) -> [String] {
        let names = path.split(separator: "/")
        return names.indices.map { "/" + names[..<$0].joined(separator: "/") }
    }

    /// Returns the file's name without its last extension.
    static func stem(of path: String) -> String {
        let name = path.split(separator: "/").last ?? ""
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return String(name) }
        return String(name[..<dot])
    }
}
