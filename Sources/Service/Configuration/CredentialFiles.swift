import Glibc

/// The files of systemd's credentials: `<task>.NAME`, then `NAME`, in `$CREDENTIALS_DIRECTORY`.
struct CredentialFiles {
    let taskName: String
    /// `nil` without systemd credentials.
    let directory: String?
    /// Whether other tasks have credentials in the directory as well.
    let isShared: Bool

    /// - Parameters:
    ///   - directory: `$CREDENTIALS_DIRECTORY`.
    ///   - places: the folders in which a command that is run by hand finds the credentials of the task's unit, if
    ///     `directory` is `nil`.
    init(taskName: String, directory: String?, places: CredentialPlaces? = nil) {
        self.taskName = taskName
        let unit = places.map { "\($0.units)/df2redis@\(taskName).service" }
        let store = places?.store
        let found = directory ?? [unit, store].lazy.compactMap(\.self).first { access($0, R_OK | X_OK) == 0 }
        self.directory = found
        isShared = found != nil && directory == nil && found == store
    }

    /// The names that a credential may have: the task's own name before the one that all tasks share.
    func names(of credential: String) -> [String] {
        [ownName(of: credential)] + (isShared ? [] : [credential])
    }

    /// The name of a credential in /etc/credstore.
    func ownName(of credential: String) -> String { "\(taskName).\(credential)" }

    func contains(_ file: String) -> Bool { directory.map { file.hasPrefix("\($0)/") } ?? false }

    func path(named name: String) -> String? { directory.map { "\($0)/\(name)" } }

    /// The file of a credential; nil if there is none. Whether it is readable shows only when it is read.
    func path(of credential: String) -> (name: String, path: String)? {
        for name in names(of: credential) {
            if let path = path(named: name), access(path, F_OK) == 0 || errno != ENOENT { return (name, path) }
        }
        return nil
    }
}

/// The folders that contain the credentials of units.
struct CredentialPlaces: Sendable {
    /// A folder for each running unit, for root and the unit's user.
    var units = "/run/credentials"
    /// The folder that units load credentials from; `nil` for users other than root, who may not read it.
    var store: String? = geteuid() == 0 ? "/etc/credstore" : nil
}
