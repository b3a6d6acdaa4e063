import Glibc

/// The user of a task's unit, and what of a file keeps that user from reading it.
///
/// It goes by owners, modes and the unit's sandbox; access lists (`setfacl`) are not looked at.
struct UnitUser {
    /// What the package makes.
    static let standardName = "df2redis"

    enum Obstacle: Equatable {
        /// The unit does not see what is in the folder, because of a setting of the unit.
        case hidden(folder: String, setting: String)
        case closed(folder: String)
        case unreadable
    }

    let name: String
    let user: uid_t
    let groups: Set<gid_t>
    /// Folders that the unit's sandbox hides.
    var hiddenFolders = [
        "/home": "ProtectHome=", "/root": "ProtectHome=", "/run/user": "ProtectHome=", "/tmp": "PrivateTmp=",
        "/var/tmp": "PrivateTmp=",
    ]

    init(name: String, user: uid_t, groups: Set<gid_t>) { (self.name, self.user, self.groups) = (name, user, groups) }

    /// The owner of the task's state directory, which systemd gives to the unit's user; before the first start the package's user.
    ///
    /// - Returns: `nil`: root, or there is no such user.
    init?(stateDirectory: String) {
        let owner = StateOwner(of: stateDirectory)
        guard let name = owner == nil ? Self.standardName : owner?.name, let entry = getpwnam(name) else { return nil }
        let (user, group) = (entry.pointee.pw_uid, entry.pointee.pw_gid)
        guard user != 0 else { return nil }
        var groups = [gid_t](repeating: 0, count: 64)
        var count = Int32(groups.count)
        let isComplete = getgrouplist(name, group, &groups, &count) >= 0
        self.init(name: name, user: user, groups: isComplete ? Set(groups.prefix(Int(count))) : [group])
    }

    /// - Returns: `nil`: there is none, or there is no such file.
    func obstacle(to file: String) -> Obstacle? {
        if let (folder, setting) = hiddenFolders.first(where: { file.hasPrefix("\($0.key)/") }) {
            return .hidden(folder: folder, setting: setting)
        }
        guard let path = realpath(file, nil) else { return nil }
        defer { free(path) }
        let target = String(cString: path)
        if let folder = FilePathText.folders(above: target).first(where: { !may(0o1, $0) }) {
            return .closed(folder: folder)
        }
        return may(0o4, target) ? nil : .unreadable
    }

    /// - Parameter right: a bit of the last digit of a mode.
    private func may(_ right: mode_t, _ path: String) -> Bool {
        var info = stat()
        guard stat(path, &info) == 0 else { return true }
        let shift: mode_t = info.st_uid == user ? 6 : groups.contains(info.st_gid) ? 3 : 0
        return info.st_mode >> shift & right != 0
    }
}

extension UnitUser.Obstacle {
    /// Why `user` cannot read `file`, and what to do.
    func text(_ file: String, for user: UnitUser) -> String {
        let move = "move it to /etc/df2redis, chown root:\(user.name) and chmod 0640 it"
        return switch self {
        case .hidden(let folder, let setting):
            "the task's unit has no access to what is in \(folder) (\(setting)), and so not to \(file): \(move)"
        case .closed(let folder):
            "the user of the task's unit, \(user.name), may not enter \(folder), and so not read \(file): \(move)"
        case .unreadable:
            "the user of the task's unit, \(user.name), may not read it: chown root:\(user.name) \(file) && chmod 0640 \(file)"
        }
    }
}
