import Dashboard
import Link
import Replication

extension ConfigurationReading {
    /// Fills in what depends on the task's name, the file's place and the environment, and checks what depends on
    /// several values.
    ///
    /// - Parameter credentialPlaces: the folders to search for credentials without `CREDENTIALS_DIRECTORY`.
    mutating func complete(
        taskName: String?, baseDirectory: String, environment: [String: String],
        credentialPlaces: CredentialPlaces? = nil, unitUser: ((String) -> UnitUser?)? = nil
    ) {
        completeTaskName(override: taskName)
        warnOfMissingSocket(RuntimeDirectory(environment: environment))
        completePaths(baseDirectory: baseDirectory, environment: environment)
        completeTarget()
        requireSource()
        let credentials = CredentialFiles(
            taskName: configuration.taskName, directory: environment["CREDENTIALS_DIRECTORY"],
            places: credentialPlaces)
        completePasswords(credentials)
        completeTLS(credentials)
        completeToken(credentials)
        checkCheckpointStore()
        checkTogether()
        if let user = unitUser?(configuration.stateDirectory) {
            warnOfUnreadableFiles(for: user, credentials: credentials)
        }
    }

    /// As which service the file is run; `nil`: as none, since no unit reads it there. The unit takes the name from the file's.
    var serviceName: String? {
        let path = FilePathText.inWorkingDirectory(file)
        return FilePathText.directory(of: path) == "/etc/df2redis" ? FilePathText.stem(of: path) : nil
    }

    /// Whether a name can be part of a file's name and of a key.
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
            warnOfOtherService(name)
        } else {
            configuration.taskName = FilePathText.stem(of: file)
            if !Self.isTaskName(configuration.taskName) {
                fail("taskName", "is missing, and the file's name cannot be used: \(expected)")
            }
        }
    }

    /// Warns if the service of this file is another task: the unit takes the task's name from the file's name.
    private mutating func warnOfOtherService(_ name: String) {
        guard let service = serviceName, service != name else { return }
        warn(
            "taskName",
            "as a service (df2redis@\(service)) this file is the task '\(service)', with a state of its own; this is the task '\(name)': --task-name \(service) means the service's"
        )
    }

    private mutating func warnOfMissingSocket(_ directory: RuntimeDirectory) {
        let task = configuration.taskName
        let path = directory.socket(forNew: task).path
        let excess = path.utf8.count - ControlSocket.longestPath
        guard excess > 0 else { return }
        let remedy =
            task.utf8.count > excess
            ? "a name of at most \(task.utf8.count - excess) letters has one" : "RUNTIME_DIRECTORY is too long"
        warn(
            "taskName",
            "the task has no socket, since \(path) is longer than the \(ControlSocket.longestPath) bytes that the system allows: 'df2redis status', 'stop', 'verify', 'refresh' and 'cutover' will not reach it; \(remedy)"
        )
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
        for tls in [\Configuration.source.tls, \Configuration.target.tls, \Configuration.target.sentinel.tls] {
            resolve(&configuration[keyPath: tls].caFile)
            resolve(&configuration[keyPath: tls].certificateFile)
            resolve(&configuration[keyPath: tls].keyFile)
        }
        resolve(&configuration.source.login.passwordFile)
        resolve(&configuration.target.login.passwordFile)
        resolve(&configuration.target.sentinel.login.passwordFile)
        resolve(&configuration.dashboard.tokenFile)
    }

    private mutating func completeTarget() {
        for (number, use) in configuration.target.databases {
            if case .kept(let other) = use, other != number {
                fail(
                    "target.database",
                    "database \(number) cannot be written to database \(other): keys keep the number of their database, or skip it"
                )
            }
        }
        if completeSentinel() { return }
        let seedKey = places["target.seed"] != nil ? "target.seed" : "target.cluster.seeds"
        let isCluster = configuration.target.kind == .cluster
        if places["target.addr"] != nil {
            if !isCluster, !configuration.target.clusterSeeds.isEmpty {
                warn(seedKey, "is not used: target.addr names the server (target.type: cluster uses it)")
            }
        } else if let first = configuration.target.clusterSeeds.first {
            configuration.target.address = first
        } else {
            fail("target.addr", "is required: the host:port of the Redis or Valkey server")
        }
        if !isCluster, !configuration.target.clusterAddressMap.isEmpty {
            warn("target.cluster.addressMap", "is not used: target.type is standalone")
        }
    }

    private mutating func requireSource() {
        if places["source.addr"] == nil {
            fail("source.addr", "is required: the host:port of the Dragonfly master")
        }
    }

    /// - Returns: whether the target is found through sentinels.
    private mutating func completeSentinel() -> Bool {
        let sentinel = configuration.target.sentinel
        guard sentinel.master != nil || !sentinel.addresses.isEmpty else { return false }
        if sentinel.master == nil {
            fail("target.sentinel.master", "is required: the master's name in the sentinels' configuration")
        }
        if sentinel.addresses.isEmpty {
            fail("target.sentinel.addrs", "is required: the host:port of each sentinel")
        }
        if configuration.target.kind == .cluster {
            fail("target.sentinel.master", "a cluster has no sentinels: remove target.sentinel")
        }
        for key in ["target.addr", "target.seed", "target.cluster.seeds"] where places[key] != nil {
            warn(key, "is not used: the sentinels of target.sentinel name the server")
        }
        return true
    }

    private mutating func completePasswords(_ credentials: CredentialFiles) {
        let resolver = PasswordResolver(credentials: credentials)
        let sides: [(name: String, login: WritableKeyPath<Configuration, Configuration.Login>)] = [
            ("source", \.source.login), ("target", \.target.login), ("target.sentinel", \.target.sentinel.login),
        ]
        for (side, place) in sides {
            let login = configuration[keyPath: place]
            do {
                let choice = try resolver.password(of: side, passwordFile: login.passwordFile, inline: login.password)
                configuration[keyPath: place].password = choice?.password
                configuration[keyPath: place].passwordOrigin = choice.map {
                    $0.isCredential ? $0.origin : "\(side).\($0.origin)"
                }
                configuration[keyPath: place].usedPasswordFile = choice?.file
                for key in choice?.shadowed ?? [] {
                    warn("\(side).\(key)", "is not used: \(choice?.origin ?? "") overrides it")
                }
                refusePlaceholder(choice?.password, "\(side).password")
                if login.username != nil, choice == nil {
                    let credential = credentials.ownName(of: "\(side.replacing(".", with: "-"))-password")
                    fail(
                        "\(side).username",
                        "needs a password: set \(side).password or \(side).passwordFile, or give it as the systemd credential '\(credential)', which only root and the task's unit can read"
                    )
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

    private mutating func refusePlaceholder(_ secret: Secret?, _ key: String) {
        if secret?.isPlaceholder == true {
            fail(key, "is only what 'config --check' prints in the place of a secret: put the secret itself here")
        }
    }

    private mutating func completeToken(_ credentials: CredentialFiles) {
        let resolver = PasswordResolver(credentials: credentials)
        do {
            let dashboard = configuration.dashboard
            let choice = try resolver.password(
                of: "dashboard", word: "token", passwordFile: dashboard.tokenFile, inline: dashboard.token)
            configuration.dashboard.token = choice?.password
            refusePlaceholder(choice?.password, "dashboard.token")
            for key in choice?.shadowed ?? [] {
                warn("dashboard.\(key)", "is not used: \(choice?.origin ?? "") overrides it")
            }
        } catch {
            fail("dashboard.\(error.isOfPasswordFile ? "tokenFile" : "token")", error.message)
        }
        if let address = configuration.dashboard.address, !address.isLoopback, configuration.dashboard.token == nil {
            warn(
                "dashboard.addr",
                "other hosts reach the page, with names of keys and all figures, and none is asked for a token: set dashboard.tokenFile, or an address of this host alone such as 127.0.0.1:\(address.port)"
            )
        }
        // A header may hold only these characters.
        let isPrintable = configuration.dashboard.token?.reveal().utf8.allSatisfy { (0x21...0x7E).contains($0) }
        if isPrintable == false {
            fail("dashboard.token", "may hold printable ASCII without spaces only, as it comes in a header")
        }
    }

    private mutating func checkCheckpointStore() {
        if configuration.target.kind == .cluster, configuration.checkpoint.store == .file {
            fail(
                "checkpoint.store",
                "a file cannot say what a cluster's nodes have applied or lost: set it to target (target.type: cluster)"
            )
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
        if configuration.monitor.log == LogFollower.journalPrefix {
            fail("monitor.log", "names no unit: journal:<unit> of the source")
        }
        let (policy, existing) = (configuration.conflict.policy, configuration.fullSync.existing)
        if policy != .overwrite, existing == .flush || existing == .reconcile {
            fail(
                "fullSync.existing",
                "'\(existing.rawValue)' removes keys of the target that conflict.policy '\(policy.rawValue)' is to keep"
            )
        }
        if places["source.addr"] != nil, places["target.addr"] != nil, configuration.target.sentinel.master == nil,
            configuration.source.address == configuration.target.address
        {
            fail("target.addr", "is the source's own address; a server cannot be kept equal to itself")
        }
    }
}
