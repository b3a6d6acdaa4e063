import Glibc

/// Whose the state directory is: what root writes there, the task's service could neither replace nor remove.
enum StateOwner {
    /// - Returns: why this process is not to use `folder`; `nil`: it may.
    static func refusal(of folder: String, runner: uid_t = geteuid()) -> String? {
        var info = stat()
        guard stat(folder, &info) == 0 else { return nil }
        return refusal(of: folder, owner: info.st_uid, name: name(of: info.st_uid), runner: runner)
    }

    /// Whose a file is to be that root makes at `path`; `nil` for anybody else, whose files are their own.
    static func ofFolder(of path: String, runner: uid_t = geteuid()) -> (user: uid_t, group: gid_t)? {
        var info = stat()
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        guard runner == 0, stat(folder, &info) == 0 else { return nil }
        return (info.st_uid, info.st_gid)
    }

    static func refusal(of folder: String, owner: uid_t, name: String, runner: uid_t) -> String? {
        guard runner == 0, owner != 0 else { return nil }
        return "\(folder) belongs to \(name), who could not replace what root writes there: run it as \(name): "
            + "sudo -u '\(name)' df2redis ..."
    }

    private static func name(of user: uid_t) -> String {
        guard let entry = getpwuid(user), let name = entry.pointee.pw_name else { return "#\(user)" }
        return String(cString: name)
    }
}
