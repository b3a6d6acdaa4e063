import Glibc

/// The files of systemd's credentials: `<task>.NAME`, then `NAME`, in `$CREDENTIALS_DIRECTORY`.
struct CredentialFiles {
    let taskName: String
    /// `nil` without systemd credentials.
    let directory: String?
    /// Others have credentials there as well.
    let isShared: Bool

    /// - Parameters:
    ///   - directory: `$CREDENTIALS_DIRECTORY`.
    ///   - places: where a command that is run by hand finds what the task's unit has, where `directory` is `nil`.
    init(taskName: String, directory: String?, places: CredentialPlaces? = nil) {
        self.taskName = taskName
        let unit = places.map { "\($0.units)/df2redis@\(taskName).service" }
        let store = places?.store
        let found = directory ?? [unit, store].lazy.compactMap(\.self).first { access($0, R_OK | X_OK) == 0 }
        self.directory = found
        isShared = found != nil && directory == nil && found == store
    }

    /// What a credential may be called, the one of the task before the one of all tasks.
    func names(of credential: String) -> [String] {
        [ownName(of: credential)] + (isShared ? [] : [credential])
    }

    /// What it is called in /etc/credstore.
    func ownName(of credential: String) -> String { "\(taskName).\(credential)" }

    func path(named name: String) -> String? { directory.map { "\($0)/\(name)" } }

    /// The file of a credential; nil when there is none. Whether it can be read is found out by reading it.
    func path(of credential: String) -> (name: String, path: String)? {
        for name in names(of: credential) {
            if let path = path(named: name), access(path, F_OK) == 0 || errno != ENOENT { return (name, path) }
        }
        return nil
    }
}

/// Where the credentials of a unit are.
struct CredentialPlaces: Sendable {
    /// Of units that run, a folder each, for root and the unit's user.
    var units = "/run/credentials"
    /// What units load them from; `nil` for others than root, whose files they are.
    var store: String? = geteuid() == 0 ? "/etc/credstore" : nil
}
