import Glibc
import Link

/// The owner of a task's state directory.
///
/// The task's service could neither replace nor remove what root writes there, so a task that root starts by hand continues
/// as the owner (`PrivilegeDrop`).
struct StateOwner: Equatable {
    let user: uid_t
    let group: gid_t
    /// The user's name in `/etc/passwd`; `nil` if there is none.
    let name: String?

    init(user: uid_t, group: gid_t, name: String?) { (self.user, self.group, self.name) = (user, group, name) }

    /// - Returns: `nil` if there is no such folder; whoever creates it owns it.
    init?(of folder: String) {
        var info = stat()
        guard stat(folder, &info) == 0 else { return nil }
        let entry = getpwuid(info.st_uid)
        let name = entry?.pointee.pw_name.map { String(cString: $0) }
        self.init(user: info.st_uid, group: entry?.pointee.pw_gid ?? info.st_gid, name: name)
    }

    /// The owner for a file that root creates at `path`; `nil` if another user runs this process and owns its files anyway.
    static func ofFolder(of path: String, runner: uid_t = geteuid()) -> (user: uid_t, group: gid_t)? {
        var info = stat()
        guard runner == 0, stat(Folder.of(path), &info) == 0 else { return nil }
        return (info.st_uid, info.st_gid)
    }

    var title: String { name ?? "#\(user)" }

    /// Whether this process runs as root and has to continue as the owner.
    func mustDropPrivileges(of runner: uid_t = geteuid()) -> Bool { runner == 0 && user != 0 }

    /// Makes this process run as the owner; there is no way back. (The main thread, which has ended for the C library after
    /// Dispatch took over from it, stays root's until another program is executed.)
    ///
    /// - Throws: `SystemError`
    func dropPrivileges() throws(SystemError) {
        let groups = name.map { initgroups($0, group) } ?? withUnsafePointer(to: group) { setgroups(1, $0) }
        guard groups == 0 else { throw SystemError("setgroups", errno: errno, peer: title) }
        guard setgid(group) == 0 else { throw SystemError("setgid", errno: errno, peer: title) }
        guard setuid(user) == 0 else { throw SystemError("setuid", errno: errno, peer: title) }
    }

    /// Creates the folder that the unit's `RuntimeDirectory=` would create, and gives it to the owner, who may not create
    /// one in /run.
    func give(_ folder: String) {
        // Without the folder the task runs all the same, and reports that it has no socket.
        try? Folder.make(folder, mode: 0o750, parentMode: 0o755)
        _ = lchown(folder, user, group)
    }
}
