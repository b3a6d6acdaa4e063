import Link

extension ConfigurationReading {
    /// Replaces files by systemd's credentials, and loads the files, so that a fault in them is found before any
    /// connection.
    mutating func completeTLS(_ credentials: CredentialFiles) {
        complete("source.tls", \.source.tls, credentials)
        complete("target.tls", \.target.tls, credentials)
        complete("target.sentinel.tls", \.target.sentinel.tls, credentials)
    }

    /// Reports TLS keys that are set although TLS is off: a fault, because an operator who names a certificate wants TLS,
    /// or only a warning if `enabled` is false explicitly.
    private mutating func checkUnused(_ path: String, _ tls: Configuration.TLS) {
        for (key, isSet) in [
            ("caFile", tls.caFile != nil), ("certFile", tls.certificateFile != nil), ("keyFile", tls.keyFile != nil),
            ("serverName", tls.serverName != nil), ("insecureSkipVerify", tls.skipsVerification),
        ] where isSet {
            if places["\(path).enabled"] != nil {
                warn("\(path).\(key)", "is not used: \(path).enabled is false, and nothing is encrypted")
            } else {
                fail("\(path).\(key)", "needs \(path).enabled: true; without it nothing would be encrypted")
            }
        }
    }

    private mutating func warnOfOwnCertificate(_ path: String, _ tls: Configuration.TLS) {
        guard let end = tls.certificateFile.flatMap({ CertificateEnd.first(inFile: $0) }) else { return }
        let lifetime = CertificateLifetime(end: end)
        guard lifetime.state != .good else { return }
        warn(
            "\(path).certFile",
            "our certificate \(lifetime.text): a server that verifies it refuses it from then on; the file is read again at each connect"
        )
    }

    private mutating func complete(
        _ path: String, _ place: WritableKeyPath<Configuration, Configuration.TLS>, _ credentials: CredentialFiles
    ) {
        guard configuration[keyPath: place].isEnabled else { return checkUnused(path, configuration[keyPath: place]) }
        let prefix = path.replacing(".", with: "-")
        for (key, file, credential) in [
            ("caFile", \Configuration.TLS.caFile, "ca"), ("certFile", \.certificateFile, "cert"),
            ("keyFile", \.keyFile, "key"),
        ] {
            guard let found = credentials.path(of: "\(prefix)-\(credential)") else { continue }
            if configuration[keyPath: place][keyPath: file] != nil {
                warn("\(path).\(key)", "is not used: the systemd credential '\(found.name)' overrides it")
            }
            configuration[keyPath: place][keyPath: file] = found.path
        }
        let tls = configuration[keyPath: place]
        if tls.skipsVerification {
            warn(
                "\(path).insecureSkipVerify",
                "the server's certificate is not checked: anyone on the way can read and change everything")
            if tls.caFile != nil { warn("\(path).caFile", "is not used: \(path).insecureSkipVerify is true") }
        }
        if tls.keyFile != nil, tls.certificateFile == nil {
            fail("\(path).keyFile", "needs a certificate: set \(path).certFile")
        }
        warnOfOwnCertificate(path, tls)
        guard let settings = TLSSettings(tls, section: path) else { return }
        for error in TLSContext.faults(of: settings) {
            let key = error.key.map { "\(path).\($0)" } ?? "\(path).enabled"
            // The message begins with the key, as this problem's text does.
            let text = error.message
            fail(key, text.hasPrefix("\(key): ") ? String(text.dropFirst(key.count + 2)) : text)
        }
    }
}

extension TLSSettings {
    /// - Returns: `nil` if TLS is off.
    init?(_ tls: Configuration.TLS, section: String) {
        guard tls.isEnabled else { return nil }
        self.init(section: section)
        caFile = tls.caFile
        certificateFile = tls.certificateFile
        keyFile = tls.keyFile
        serverName = tls.serverName
        skipsVerification = tls.skipsVerification
    }
}
