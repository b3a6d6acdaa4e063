import Replication

extension ConfigurationReading {
    /// Fills in what depends on the task's name, the file's place and the environment, and checks what depends on
    /// several values.
    mutating func complete(taskName: String?, baseDirectory: String, environment: [String: String]) {
        completeTaskName(override: taskName)
        completePaths(baseDirectory: baseDirectory, environment: environment)
        completeTarget()
        completePasswords(baseDirectory: baseDirectory, credentialsDirectory: environment["CREDENTIALS_DIRECTORY"])
        completeToken(credentialsDirectory: environment["CREDENTIALS_DIRECTORY"])
        checkWhatIsNotBuilt()
        checkTogether()
    }

    /// Whether a name is one that can be part of a file's name and of a key.
    static func isTaskName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count) && name != "." && name != ".."
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "@"),
                    UInt8(ascii: "-"):
                    true
                default:
                    false
                }
            }
    }

    private mutating func completeTaskName(override: String?) {
        let expected = "expected 1 to 128 letters, digits, '.', '_', '@' and '-'"
        if let override {
            configuration.taskName = override
            if !Self.isTaskName(override) { fail(at: nil, key: "--task-name", "\(expected), found \"\(override)\"") }
        } else if !configuration.taskName.isEmpty {
            let name = configuration.taskName
            if !Self.isTaskName(name) { fail("taskName", "\(expected), found \"\(name)\"") }
        } else {
            configuration.taskName = FilePathText.stem(of: file)
            if !Self.isTaskName(configuration.taskName) {
                fail("taskName", "is missing, and the file's name cannot be used: \(expected)")
            }
        }
    }

    private mutating func completePaths(baseDirectory: String, environment: [String: String]) {
        let task = configuration.taskName
        if configuration.stateDirectory.isEmpty {
            // systemd lists several folders with colons between them; the first is the unit's own.
            let given = environment["STATE_DIRECTORY"]?.split(separator: ":").first.map(String.init)
            configuration.stateDirectory = given ?? "/var/lib/df2redis/\(task)"
        }
        let state = FilePathText.absolute(configuration.stateDirectory, relativeTo: baseDirectory)
        configuration.stateDirectory = state

        func resolve(_ path: inout String, _ standard: String) {
            path =
                path.isEmpty
                ? FilePathText.absolute(standard, relativeTo: state)
                : FilePathText.absolute(path, relativeTo: baseDirectory)
        }
        resolve(&configuration.statusFile, "\(task).status.json")
        resolve(&configuration.spool.directory, "\(task).spool")
        resolve(&configuration.checkpoint.path, "\(task).checkpoint.json")
        if configuration.checkpoint.store == .target, places["checkpoint.path"] != nil {
            warn(
                "checkpoint.path", "is not used: the checkpoint is kept in the target (checkpoint.store: file uses it)")
        }

        func resolve(_ path: inout String?) {
            path = path.map { FilePathText.absolute($0, relativeTo: baseDirectory) }
        }
        for tls in [\Configuration.source.tls, \Configuration.target.tls] {
            resolve(&configuration[keyPath: tls].caFile)
            resolve(&configuration[keyPath: tls].certificateFile)
            resolve(&configuration[keyPath: tls].keyFile)
        }
        resolve(&configuration.source.passwordFile)
        resolve(&configuration.target.passwordFile)
        resolve(&configuration.dashboard.tokenFile)
    }

    private mutating func completeTarget() {
        let seedKey = places["target.seed"] != nil ? "target.seed" : "target.cluster.seeds"
        if places["target.addr"] != nil {
            if configuration.target.kind == .standalone, !configuration.target.clusterSeeds.isEmpty {
                warn(seedKey, "is not used: target.addr names the server")
            }
        } else if let first = configuration.target.clusterSeeds.first {
            configuration.target.address = first
        } else {
            fail("target.addr", "is required: the host:port of the Redis or Valkey server")
        }
        if places["source.addr"] == nil {
            fail("source.addr", "is required: the host:port of the Dragonfly master")
        }
    }

    private mutating func completePasswords(baseDirectory: String, credentialsDirectory: String?) {
        let resolver = PasswordResolver(
            taskName: configuration.taskName, credentialsDirectory: credentialsDirectory)
        let sides: [(String, WritableKeyPath<Configuration, Secret?>, String?, String?)] = [
            ("source", \.source.password, configuration.source.passwordFile, configuration.source.username),
            ("target", \.target.password, configuration.target.passwordFile, configuration.target.username),
        ]
        for (side, place, passwordFile, username) in sides {
            do {
                let inline = configuration[keyPath: place]
                let choice = try resolver.password(of: side, passwordFile: passwordFile, inline: inline)
                configuration[keyPath: place] = choice?.password
                for key in choice?.shadowed ?? [] {
                    warn("\(side).\(key)", "is not used: \(choice?.origin ?? "") overrides it")
                }
                if username != nil, choice == nil {
                    fail("\(side).username", "needs a password: set \(side).password or \(side).passwordFile")
                }
            } catch {
                if error.isOfPasswordFile {
                    fail("\(side).passwordFile", error.message)
                } else {
                    fail(at: nil, key: "\(side).password", error.message)
                }
            }
        }
    }

    private mutating func completeToken(credentialsDirectory: String?) {
        let resolver = PasswordResolver(
            taskName: configuration.taskName, credentialsDirectory: credentialsDirectory)
        do {
            let dashboard = configuration.dashboard
            let choice = try resolver.password(
                of: "dashboard", word: "token", passwordFile: dashboard.tokenFile, inline: dashboard.token)
            configuration.dashboard.token = choice?.password
            for key in choice?.shadowed ?? [] {
                warn("dashboard.\(key)", "is not used: \(choice?.origin ?? "") overrides it")
            }
        } catch {
            fail("dashboard.\(error.isOfPasswordFile ? "tokenFile" : "token")", error.message)
        }
        // What a header may hold.
        let isPrintable = configuration.dashboard.token?.reveal().utf8.allSatisfy { (0x21...0x7E).contains($0) }
        if isPrintable == false {
            fail("dashboard.token", "may hold printable ASCII without spaces only, as it comes in a header")
        }
    }

    private mutating func checkWhatIsNotBuilt() {
        for (path, tls) in [("source.tls", configuration.source.tls), ("target.tls", configuration.target.tls)]
        where tls.isEnabled {
            fail("\(path).enabled", "TLS is not built yet: set it to false, and use a private network or a tunnel")
        }
        if configuration.target.kind == .cluster {
            fail("target.type", "a cluster as target is not built yet: use a standalone Redis or Valkey server")
        }
    }

    private mutating func checkTogether() {
        let reconnect = configuration.reconnect
        if reconnect.initial > reconnect.maximum {
            let key =
                places["reconnect.initialMilliseconds"] != nil
                ? "reconnect.initialMilliseconds" : "reconnect.maxSeconds"
            fail(key, "the first wait (initialMilliseconds) is longer than the longest (maxSeconds)")
        }
        let (policy, existing) = (configuration.conflict.policy, configuration.fullSync.existing)
        if policy != .overwrite, existing == .flush || existing == .reconcile {
            fail(
                "fullSync.existing",
                "'\(existing.rawValue)' removes keys of the target that conflict.policy '\(policy.rawValue)' is to keep"
            )
        }
        if places["source.addr"] != nil, places["target.addr"] != nil,
            configuration.source.address == configuration.target.address
        {
            fail("target.addr", "is the source's own address; a server cannot be kept equal to itself")
        }
    }
}
