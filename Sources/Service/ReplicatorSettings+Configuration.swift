import Dragonfly
import Glibc
import Link
import Redis
import Replication

extension ReplicatorSettings {
    /// A file that is being replaced may be gone, or empty, for a moment.
    private static func reader(of passwordFile: String) -> @Sendable () -> String? {
        { (try? PasswordResolver.read(passwordFile))?.reveal() }
    }

    /// What the replicator needs of a task's configuration.
    init(_ configuration: Configuration, mode: ReplicationService.Mode) {
        let source = configuration.source
        let target = configuration.target
        self.init(
            task: configuration.taskName,
            mode: mode == .migrate ? .migrate : .replicate,
            source: SourceSettings(
                endpoint: source.address, user: source.login.username,
                password: source.login.password?.reveal(), clientID: Self.clientID(of: configuration.taskName),
                displayName: Self.displayName(of: configuration.taskName)),
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
        scrub = Scrub(self)
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

    /// 40 hex digits that stay the same for a task on a host: what the master knows this replica by.
    private static func clientID(of task: String) -> String {
        var hashes: [UInt64] = [0xcbf2_9ce4_8422_2325, 0x8422_2325_cbf2_9ce4, 0x9ce4_8422_2325_cbf2]
        for (index, byte) in ("\(task)@".utf8 + hostName).enumerated() {
            for place in hashes.indices {
                hashes[place] = (hashes[place] ^ UInt64(byte) &+ UInt64(index * place)) &* 0x100_0000_01b3
            }
        }
        let digits = hashes.map { String($0, radix: 16) }.map { String(repeating: "0", count: 16 - $0.count) + $0 }
            .joined()
        return String(digits.prefix(40))
    }

    /// What the master shows of this replica: the task and where it runs, as in `df2redis/prod@db7`.
    static func displayName(of task: String) -> String {
        "df2redis/\(task)@\(String(decoding: hostName, as: UTF8.self))"
    }

    private static var hostName: [UInt8] {
        var host = [CChar](repeating: 0, count: 256)
        gethostname(&host, host.count - 1)
        return host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    }
}

extension SentinelSettings {
    /// - Returns: `nil` where the target's address is given.
    fileprivate init?(_ sentinel: Configuration.Sentinel) {
        guard let master = sentinel.master else { return nil }
        self.init(master: master, endpoints: sentinel.addresses)
        user = sentinel.login.username
        password = sentinel.login.password?.reveal()
        tls = TLSSettings(sentinel.tls, section: "target.sentinel.tls")
    }
}
