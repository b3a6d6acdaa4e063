import Glibc

/// That a configuration is read without passwords that its task may have: those in `/etc/credstore` are for root and, once it
/// runs, for the task's unit.
package enum HiddenCredentials {
    /// - Returns: what to say to the user; `nil`: nothing is hidden.
    package static func note(_ configuration: Configuration, store: String = "/etc/credstore") -> String? {
        guard getenv("CREDENTIALS_DIRECTORY") == nil else { return nil }
        let sides = [("source", configuration.source.login.password), ("target", configuration.target.login.password)]
        let isHidden = sides.contains { side, password in
            // Where the folder is not for this user either it is not known whether there is one.
            password == nil && access("\(store)/\(configuration.taskName).\(side)-password", R_OK) != 0
                && errno == EACCES
        }
        guard isHidden else { return nil }
        return
            "what \(store) may have for this task is for root and the task's unit, and is not known here: run this as root"
    }
}
