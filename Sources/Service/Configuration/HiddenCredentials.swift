import Glibc

/// Warns a user that the configuration was read without passwords that its task may have. Files in `/etc/credstore` are for
/// root and, while it runs, for the task's unit.
package enum HiddenCredentials {
    /// - Returns: a message for the user; `nil` if nothing is hidden.
    package static func note(_ configuration: Configuration, store: String = "/etc/credstore") -> String? {
        guard getenv("CREDENTIALS_DIRECTORY") == nil else { return nil }
        let sides = [("source", configuration.source.login.password), ("target", configuration.target.login.password)]
        let isHidden = sides.contains { side, password in
            // If this user may not look into the folder, it is unknown whether the file exists.
            password == nil && access("\(store)/\(configuration.taskName).\(side)-password", R_OK) != 0
                && errno == EACCES
        }
        guard isHidden else { return nil }
        return
            "what \(store) may have for this task is for root and the task's unit, and is not known here: run this as root"
    }
}
