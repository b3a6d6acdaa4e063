extension ConfigurationReading {
    /// Root reads what the unit's user may not: a start as a service would be the first to say so.
    mutating func warnOfUnreadableFiles(for user: UnitUser, credentials: CredentialFiles) {
        guard serviceName != nil else { return }
        let own = FilePathText.inWorkingDirectory(file)
        if let obstacle = user.obstacle(to: own) { warn(nil, obstacle.text(own, for: user)) }
        for (key, file) in files {
            // What a credential takes the place of is not read.
            guard !credentials.contains(file), !warnings.contains(where: { $0.key == key }),
                let obstacle = user.obstacle(to: file)
            else { continue }
            warn(key, obstacle.text(file, for: user))
        }
    }

    /// The files that a start reads, with their keys.
    private var files: [(key: String, file: String)] {
        var files: [(key: String, file: String?)] = []
        let sides: [(String, Configuration.Login, Configuration.TLS)] = [
            ("source", configuration.source.login, configuration.source.tls),
            ("target", configuration.target.login, configuration.target.tls),
            ("target.sentinel", configuration.target.sentinel.login, configuration.target.sentinel.tls),
        ]
        for (side, login, tls) in sides {
            files.append(("\(side).passwordFile", login.usedPasswordFile))
            guard tls.isEnabled else { continue }
            files += [
                ("\(side).tls.caFile", tls.caFile), ("\(side).tls.certFile", tls.certificateFile),
                ("\(side).tls.keyFile", tls.keyFile),
            ]
        }
        files.append(("dashboard.tokenFile", configuration.dashboard.tokenFile))
        return files.compactMap { key, file in file.map { (key, $0) } }
    }
}
