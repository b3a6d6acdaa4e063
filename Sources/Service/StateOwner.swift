import Glibc
import Link

/// Whose a task's state directory is. What root writes there, the task's service could neither replace nor remove: a task that
/// root runs by hand goes on as its owner (`StateTakeover`).
struct StateOwner: Equatable {
    let user: uid_t
    let group: gid_t
    /// In `/etc/passwd`; `nil`: it has none there.
    let name: String?

    init(user: uid_t, group: gid_t, name: String?) { (self.user, self.group, self.name) = (user, group, name) }

    /// - Returns: `nil`: there is no such folder, and whoever makes it owns it.
    init?(of folder: String) {
        var info = stat()
        guard stat(folder, &info) == 0 else { return nil }
        let entry = getpwuid(info.st_uid)
        let name = entry?.pointee.pw_name.map { String(cString: $0) }
        self.init(user: info.st_uid, group: entry?.pointee.pw_gid ?? info.st_gid, name: name)
    }

    /// Whose a file is to be that root makes at `path`; `nil` for anybody else, whose files are their own.
    static func ofFolder(of path: String, runner: uid_t = geteuid()) -> (user: uid_t, group: gid_t)? {
        var info = stat()
        guard runner == 0, stat(Folder.of(path), &info) == 0 else { return nil }
        return (info.st_uid, info.st_gid)
    }

    var title: String { name ?? "#\(user)" }

    /// A process of root's is to become it.
    func isToTakeOver(from runner: uid_t = geteuid()) -> Bool { runner == 0 && user != 0 }

    /// What this process starts is the owner's from here on; there is no way back. (The main thread, which has ended for the C
    /// library once Dispatch has taken over from it, stays root's until another program is started.)
    ///
    /// - Throws: `SystemError`
    func takeOver() throws(SystemError) {
        let groups = name.map { initgroups($0, group) } ?? withUnsafePointer(to: group) { setgroups(1, $0) }
        guard groups == 0 else { throw SystemError("setgroups", errno: errno, peer: title) }
        guard setgid(group) == 0 else { throw SystemError("setgid", errno: errno, peer: title) }
        guard setuid(user) == 0 else { throw SystemError("setuid", errno: errno, peer: title) }
    }

    /// The owner's, with a folder that the unit's `RuntimeDirectory=` would make: it may not make one in /run itself.
    func give(_ folder: String) {
        // Without it the task runs all the same, and says that it has no socket.
        try? Folder.make(folder, mode: 0o750, parentMode: 0o755)
        _ = lchown(folder, user, group)
    }
}
