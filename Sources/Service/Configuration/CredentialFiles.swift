import Glibc

/// The files of systemd's credentials: `<task>.NAME`, then `NAME`, in `$CREDENTIALS_DIRECTORY`.
struct CredentialFiles {
    let taskName: String
    /// `$CREDENTIALS_DIRECTORY`; nil without systemd credentials.
    let directory: String?

    /// What a credential may be called, the one of the task before the one of all tasks.
    func names(of credential: String) -> [String] { ["\(taskName).\(credential)", credential] }

    func path(named name: String) -> String? { directory.map { "\($0)/\(name)" } }

    /// The file of a credential; nil when there is none. Whether it can be read is found out by reading it.
    func path(of credential: String) -> (name: String, path: String)? {
        for name in names(of: credential) {
            if let path = path(named: name), access(path, F_OK) == 0 || errno != ENOENT { return (name, path) }
        }
        return nil
    }
}
