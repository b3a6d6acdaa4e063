import Base
import Dragonfly
import Link
import Redis
import Replication

extension ReplicatorSettings {
    /// Returns a closure that reads the password again. It returns `nil` while the file is missing or empty, as it may be
    /// for a moment during its replacement.
    private static func reader(of passwordFile: String) -> @Sendable () -> String? {
        { (try? PasswordResolver.read(passwordFile))?.reveal() }
    }

    /// Creates the replicator's settings from a task's configuration.
    init(_ configuration: Configuration, mode: ReplicationService.Mode) {
        let source = configuration.source
        let target = configuration.target
        let replica = ReplicaIdentity(task: configuration.taskName, host: hostName())
        self.init(
            task: configuration.taskName,
            mode: mode == .migrate ? .migrate : .replicate,
            source: SourceSettings(
                endpoint: source.address, user: source.login.username,
                password: source.login.password?.reveal(), clientID: replica.clientID,
                displayName: replica.displayName),
            target: TargetSettings(
                endpoint: target.address, user: target.login.username,
                password: target.login.password?.reveal(), clientName: "df2redis:\(configuration.taskName)"),
            clock: { WallClock.milliseconds() })
        self.source.passwordOrigin = source.login.passwordOrigin
        self.target.passwordOrigin = target.login.passwordOrigin
        self.source.readPassword = source.login.usedPasswordFile.map(Self.reader(of:))
        self.target.readPassword = target.login.usedPasswordFile.map(Self.reader(of:))
        self.source.tls = TLSSettings(source.tls, section: "source.tls")
        self.target.tls = TLSSettings(target.tls, section: "target.tls")
        self.target.sentinel = SentinelSettings(target.sentinel)
        if target.kind == .cluster {
            self.target.cluster = ClusterAddresses(
                seeds: [target.address] + target.clusterSeeds, map: target.clusterAddressMap)
        }
        policy.onError = configuration.policy.onError
        policy.onUnsupported = configuration.policy.onUnsupported
        policy.elementExpiry = configuration.policy.memberTTL
        policy.onConflict = configuration.conflict.policy
        policy.skippedDatabases = Set(target.databases.filter { $0.value == .skip }.keys)
        policy.namedDatabases = Set(target.databases.keys).subtracting(policy.skippedDatabases)
        checkpoint.isEnabled = configuration.checkpoint.isEnabled
        checkpoint.keyPrefix = configuration.checkpoint.keyPrefix
        checkpoint.path = configuration.checkpoint.path
        checkpoint.resyncMark = ResyncMark(
            path: "\(configuration.stateDirectory)/\(configuration.taskName).resync")
        checkpoint.store =
            switch configuration.checkpoint.store {
            case .target: .target
            case .file: .file(every: configuration.checkpoint.interval)
            }
        existing = configuration.fullSync.existing
        expiryGuard = configuration.expiry.guardWindow
        targetSilence = target.silence
        expiryMargin = source.expiryMargin
        lagHigh = configuration.log.lagHigh == .zero ? nil : configuration.log.lagHigh
        stateDirectory = configuration.stateDirectory
        spoolDirectory = configuration.spool.directory
        memoryBytes = configuration.spool.memoryBytes
        diskBytes = configuration.spool.diskBytes
        refreshesPerSecond = configuration.refresh.keysPerSecond
        verifiesPerSecond = configuration.verify.keysPerSecond
        verifier = Verifier(self)
        batchCommands = configuration.advanced.batchSize
        if configuration.advanced.commandsPerSecond > 0 {
            let commands = configuration.advanced.commandsPerSecond
            commandsPerSecond = commands
            batchCommands = min(batchCommands, CommandPacer.share(of: commands))
        }
        drain = configuration.shutdown.drain
        finWait = configuration.shutdown.finWait
        retry = RetryPolicy(initial: configuration.reconnect.initial, maximum: configuration.reconnect.maximum)
        giveUp = configuration.reconnect.giveUp == .zero ? nil : configuration.reconnect.giveUp
    }
}

extension SentinelSettings {
    /// - Returns: `nil` if the configuration gives the target's address instead.
    fileprivate init?(_ sentinel: Configuration.Sentinel) {
        guard let master = sentinel.master else { return nil }
        self.init(master: master, endpoints: sentinel.addresses)
        user = sentinel.login.username
        password = sentinel.login.password?.reveal()
        tls = TLSSettings(sentinel.tls, section: "target.sentinel.tls")
    }
}
