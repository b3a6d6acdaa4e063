extension Setting {
    /// Every key of the file, in the order in which the configuration is printed.
    static let all: [Setting] =
        task + source + target + sentinel + cluster + data + position + limits + operation + monitor + obsolete

    /// The description of each section.
    static let sections: [String: String] = [
        "source": "The Dragonfly master to follow.",
        "source.tls": "Encryption towards the source: TLS 1.2 or 1.3. tls: true means the system's authorities.",
        "target": "The Redis or Valkey server that is kept equal.",
        "target.tls": "Encryption towards the target, as source.tls.",
        "target.sentinel": "Sentinels that say where the target is, instead of target.addr.",
        "target.sentinel.tls": "Encryption towards the sentinels, as source.tls.",
        "target.cluster": "How a Redis Cluster or Valkey Cluster is reached (target.type: cluster).",
        "fullSync": "How a full sync treats the target's old data.",
        "conflict": "What happens to a key of the snapshot that the target already has.",
        "policy": "What happens to data that cannot be applied.",
        "expiry": "How the target is kept from expiring keys before the source does.",
        "checkpoint": "Where the position in the stream is stored, so that a restart continues from it.",
        "spool": "The queue for records that the target cannot take yet.",
        "reconnect": "How a lost source is retried.",
        "shutdown": "How long the parts of leaving may take.",
        "refresh": "Keys of which the source's journal does not say enough: they are read at the source.",
        "verify": "Both sides are compared while the task follows, and what differs is read at the source.",
        "advanced": "Limits on the load of the target.",
        "dashboard": "The page with the task's figures, over HTTP; read only.",
        "log": "What is logged, and how.",
        "monitor": "What df2redis monitor watches at the source.",
        "monitor.hook": "Who hears of an alert besides the log.",
        "migrate": "Keys of df2redis v2.x that mean nothing here.",
    ]

    /// Sections that may be written as the value of their main key alone: `tls: false`.
    static let shorthands = [
        "source.tls": "source.tls.enabled", "target.tls": "target.tls.enabled",
        "target.sentinel.tls": "target.sentinel.tls.enabled",
    ]

    private static let task: [Setting] = [
        Setting(
            "taskName", \.taskName, .text,
            "Name of the task, of letters, digits and . _ @ -; empty: the file's name. --task-name overrides it."),
        Setting(
            "stateDir", \.stateDirectory, .path,
            "Folder of the task's files; empty: $STATE_DIRECTORY (systemd), else /var/lib/df2redis/<task>."),
        Setting(
            "statusFile", \.statusFile, .path,
            "File with the task's state for other programs; empty: <task>.status.json in stateDir."),
    ]

    private static let source: [Setting] =
        [
            Setting("source.type", \.source.kind, .choice(), "Kind of the source."),
            Setting("source.addr", \.source.address, .address, "Address of the master. Required."),
            Setting("source.username", optional: \.source.login.username, .text, "ACL user; empty: the default user."),
            Setting(
                "source.password", optional: \.source.login.password, .secret,
                "Password; a systemd credential 'source-password' or a passwordFile overrides it."),
            Setting(
                "source.passwordFile", optional: \.source.login.passwordFile, .path,
                "File that holds the password, relative to this file."),
            Setting(
                "source.expiryMarginMilliseconds", \.source.expiryMargin, .milliseconds(0...60_000),
                "The source journals a plain GETEX as an expiry of now: one at most this far ahead is ignored."),
        ]
        + tls(
            "source.tls", isEnabled: \.source.tls.isEnabled, caFile: \.source.tls.caFile,
            certificateFile: \.source.tls.certificateFile, keyFile: \.source.tls.keyFile,
            serverName: \.source.tls.serverName, skipsVerification: \.source.tls.skipsVerification)

    private static let target: [Setting] =
        [
            Setting(
                "target.type", \.target.kind,
                .choice(synonyms: [
                    "redis": .standalone, "redis-standalone": .standalone, "valkey": .standalone,
                    "valkey-standalone": .standalone, "redis-cluster": .cluster, "valkey-cluster": .cluster,
                ]),
                """
                standalone: one server; cluster: a Redis Cluster or Valkey Cluster. The names of v2.x mean the same:
                redis, redis-standalone, redis-cluster.
                """),
            Setting(
                "target.addr", \.target.address, .address,
                "Address of the server, or of any node of the cluster. Required, unless target.cluster.seeds is given."),
            Setting("target.seed", list: \.target.clusterSeeds, .address, "Older name of target.addr.").unprinted,
            Setting("target.username", optional: \.target.login.username, .text, "ACL user; empty: the default user."),
            Setting(
                "target.password", optional: \.target.login.password, .secret,
                "Password; a systemd credential 'target-password' or a passwordFile overrides it."),
            Setting(
                "target.passwordFile", optional: \.target.login.passwordFile, .path,
                "File that holds the password, relative to this file."),
            Setting(
                "target.silentSeconds", \.target.silence, .seconds(1...3600),
                "A target that has not answered for this long is reported as lost; the answer is still waited for."),
            Setting(
                "target.database", map: \.target.databases, .database, .databaseUse,
                expected: "a section such as {0: 0, 3: skip}",
                """
                What becomes of each database of the source: its own number (it is kept), or skip (its keys are left
                out and counted). A database that is not named is kept; where the target has no such database, as
                most clusters have none but 0, policy.onUnsupported says whether the task stops.
                """),
        ]
        + tls(
            "target.tls", isEnabled: \.target.tls.isEnabled, caFile: \.target.tls.caFile,
            certificateFile: \.target.tls.certificateFile, keyFile: \.target.tls.keyFile,
            serverName: \.target.tls.serverName, skipsVerification: \.target.tls.skipsVerification)

    private static let sentinel: [Setting] =
        [
            Setting(
                "target.sentinel.master", optional: \.target.sentinel.master, .text,
                "Name of the master in the sentinels' configuration; empty: target.addr is the target."),
            Setting(
                "target.sentinel.addrs", list: \.target.sentinel.addresses, .address,
                "The sentinels, all of them; they are asked at each connect, and a failover is followed."),
            Setting(
                "target.sentinel.username", optional: \.target.sentinel.login.username, .text,
                "ACL user at the sentinels; empty: the default user."),
            Setting(
                "target.sentinel.password", optional: \.target.sentinel.login.password, .secret,
                "Its password; a systemd credential 'target-sentinel-password' or a passwordFile overrides it."),
            Setting(
                "target.sentinel.passwordFile", optional: \.target.sentinel.login.passwordFile, .path,
                "File that holds the password, relative to this file."),
        ]
        + tls(
            "target.sentinel.tls", isEnabled: \.target.sentinel.tls.isEnabled,
            caFile: \.target.sentinel.tls.caFile, certificateFile: \.target.sentinel.tls.certificateFile,
            keyFile: \.target.sentinel.tls.keyFile, serverName: \.target.sentinel.tls.serverName,
            skipsVerification: \.target.sentinel.tls.skipsVerification)

    private static let cluster = [
        Setting(
            "target.cluster.seeds", list: \.target.clusterSeeds, .address,
            "Nodes to ask for the cluster's slots, in turn, besides target.addr; one that answers is enough."),
        Setting(
            "target.cluster.addressMap", map: \.target.clusterAddressMap, .address, .address,
            expected: "a section such as {\"10.0.0.1:6379\": \"nat.example:7001\"}",
            "Where the cluster's nodes are reached, by the addresses they announce; for networks that translate them."),
    ]

    private static func tls(
        _ path: String, isEnabled: Place<Bool>, caFile: Place<String?>, certificateFile: Place<String?>,
        keyFile: Place<String?>, serverName: Place<String?>, skipsVerification: Place<Bool>
    ) -> [Setting] {
        // source-tls: the prefix of this side's systemd credentials.
        let credential = path.replacing(".", with: "-")
        return [
            Setting("\(path).enabled", isEnabled, .boolean, "Whether to encrypt."),
            Setting(
                "\(path).caFile", optional: caFile, .path,
                "Certificates of the authorities to trust (PEM); empty: the system's. Files are read at each connect."),
            Setting(
                "\(path).certFile", optional: certificateFile, .path,
                "Our certificate (PEM), if asked for; a systemd credential '\(credential)-cert' overrides it."),
            Setting(
                "\(path).keyFile", optional: keyFile, .path,
                "Its private key (PEM), without a passphrase; a credential '\(credential)-key' overrides it."),
            Setting(
                "\(path).serverName", optional: serverName, .text,
                "Name or address that the server's certificate must carry; empty: the host of addr."),
            Setting(
                "\(path).insecureSkipVerify", skipsVerification, .boolean,
                "true: any certificate will do, so anyone on the way can read and change everything."),
        ]
    }

    private static let data: [Setting] = [
        Setting(
            "fullSync.existing", \.fullSync.existing, .choice(),
            """
            Keys the target already has. replace: those of the snapshot are replaced, others stay;
            flush: the task's databases are emptied first; reconcile: also those are removed that the
            source does not have; auto: replace in a task's first full sync, reconcile in later ones, and
            stop when the source has come back empty, or with another replication id and hardly any key.
            """),
        Setting(
            "conflict.policy", \.conflict.policy, .choice(),
            "overwrite it, skip it (the target's value stays), or panic: stop before anything is overwritten."),
        Setting("policy.onError", \.policy.onError, .choice(), "When the target answers a command with an error."),
        Setting(
            "policy.onUnsupported", \.policy.onUnsupported, .choice(),
            "When Redis has no equivalent for the data; what is skipped is counted and listed in the dead-letter file."),
        Setting(
            "policy.memberTTL", \.policy.memberTTL, .choice(),
            """
            TTLs of set members, and of hash fields where the target has none. timer: this task keeps them in the target
            and expires them while it runs; unsupported: Redis has no equivalent, see onUnsupported.
            """),
        Setting(
            "expiry.guardSeconds", \.expiry.guardWindow, .seconds(0...3600),
            """
            How long the target, the network or df2redis may be stopped without losing a key that the
            source keeps. TTLs near their end are up to 1.5 times this longer at the target while the task
            runs, exact after it has left. 0: exact, and keys are protected only during a lag.
            """),
    ]

    private static let position: [Setting] = [
        Setting("checkpoint.enabled", \.checkpoint.isEnabled, .boolean, "false: every start is a full sync."),
        Setting(
            "checkpoint.store", \.checkpoint.store, .choice(),
            """
            target: in the target, in the same transactions as the data: each change is applied exactly once.
            file: at least once; a crash applies up to intervalSeconds again, and a restarted target is synced in full.
            """),
        Setting(
            "checkpoint.intervalSeconds", \.checkpoint.interval, .seconds(1...3600, zeroMeans: .seconds(10)),
            "How often the checkpoint file is written, besides at each FLUSHALL and at the end."),
        Setting(
            "checkpoint.path", \.checkpoint.path, .path,
            "The checkpoint file, for store: file; empty: <task>.checkpoint.json in stateDir."),
        Setting(
            "checkpoint.keyPrefix", \.checkpoint.keyPrefix, .text,
            "The task's key in the target is this and the task's name."
        ).warnsWhenEmpty,
    ]

    private static let limits: [Setting] = [
        Setting(
            "spool.memoryBytes", \.spool.memoryBytes, .bytes(1 << 20...1 << 40),
            "Memory, for all flows; its upper half, at least 16MiB, is for what arrives while the disk is written."),
        Setting(
            "spool.diskBytes", \.spool.diskBytes, .bytes(0...1 << 44),
            "Disk, used when half of the memory is in use; 0: no disk, and all of the memory is used."),
        Setting("spool.dir", \.spool.directory, .path, "Folder of the spool; empty: <task>.spool in stateDir."),
        Setting(
            "reconnect.initialMilliseconds", \.reconnect.initial, .milliseconds(10...60_000),
            "Wait before the first retry; it doubles with each further one."),
        Setting("reconnect.maxSeconds", \.reconnect.maximum, .seconds(0.1...3600), "The longest wait between retries."),
        Setting(
            "reconnect.giveUpSeconds", \.reconnect.giveUp, .seconds(0...604_800),
            "After this long without the source the task exits with 69, and systemd restarts it; 0: never."),
        Setting(
            "shutdown.drainSeconds", \.shutdown.drain, .seconds(0...20),
            "How long reading and applying continue after a stop is requested."),
        Setting(
            "shutdown.finWaitSeconds", \.shutdown.finWait, .seconds(0.1...5),
            "How long to wait for the master's own end of each flow."),
        Setting(
            "refresh.keysPerSecond", \.refresh.keysPerSecond, .integer(0...100_000),
            """
            Keys a second at most, read with DUMP and put where they belong in the stream; 0: none, they are only counted.
            The source's user needs +DUMP +PEXPIRETIME +SELECT +MEMORY and ~* for it.
            """),
        Setting(
            "verify.keysPerSecond", \.verify.keysPerSecond, .integer(0...100_000),
            """
            Keys a second, over and over; 0: none. It needs refresh.keysPerSecond, and at the source +@read +@connection
            +INFO and ~*; +DEBUG too where keys have tags in their names and the source hashes only these.
            """),
        Setting(
            "advanced.qps", \.advanced.commandsPerSecond, .integer(0...100_000_000),
            "Commands a second over all flows; 0: no limit. The source is still read at full speed."),
        Setting(
            "advanced.batchSize", \.advanced.batchSize, .integer(1...100_000, zeroMeans: 5000),
            "Maximum number of commands in one transaction; it also ends at 256 KiB."),
    ]

    private static let operation: [Setting] = [
        Setting(
            "dashboard.addr", optional: \.dashboard.address, .listenAddress,
            """
            Where it listens; ":8080": all interfaces, ":0": any port, "": no page. The default moves on to the next
            port that is free. An address that is taken is tried again and never stops the replication.
            """
        ).emptyMeansNone(\.dashboard.address),
        Setting(
            "dashboard.token", optional: \.dashboard.token, .secret,
            "Bearer token that requests must bring; a credential 'dashboard-token' or a tokenFile overrides it."),
        Setting(
            "dashboard.tokenFile", optional: \.dashboard.tokenFile, .path,
            "File that holds the token, relative to this file."),
        Setting("log.level", \.log.level, .logLevel, "The least important records to log."),
        Setting(
            "log.format", \.log.format, .choice(), "auto: the journal under systemd, else text on standard error."),
        Setting(
            "log.lagHighSeconds", \.log.lagHigh, .seconds(0...86_400),
            "A lag beyond this is reported once, and once more when it is below half of it; 0: never."),
    ]

    private static let monitor: [Setting] = [
        Setting(
            "monitor.intervalSeconds", \.monitor.interval, .seconds(0.1...3600), "How often the source is looked at."),
        Setting(
            "monitor.pingLimitMilliseconds", \.monitor.pingLimit, .milliseconds(10...60_000),
            "A source that twice in a row does not answer a PING within this time raises an alert."),
        Setting(
            "monitor.log", optional: \.monitor.log, .text,
            "The source's log: a path, or journal:<unit>; empty: it is not watched."),
        Setting(
            "monitor.patterns", list: \.monitor.patterns, .text,
            "A line of the log with one of these in it raises an alert."),
        Setting(
            "monitor.quietSeconds", \.monitor.quiet, .seconds(1...86_400),
            "The log's alert is cleared when no such line has come for so long."),
        Setting(
            "monitor.sessionSeconds", \.monitor.sessionLimit, .seconds(1...86_400),
            "A replica that is not online, or acknowledges nothing, for longer raises an alert."),
        Setting(
            "monitor.hook.command", optional: \.monitor.hookCommand, .text,
            "Shell command for each alert; DF2REDIS_ALERT, _STATE, _MESSAGE, _TASK and _SOURCE say what it is."),
        Setting(
            "monitor.hook.url", optional: \.monitor.hookURL, .url,
            "URL that each alert is posted to as JSON, by curl."),
    ]

    private static let obsolete: [Setting] = [
        Setting(obsolete: "log.dir", "the log goes to the systemd journal, or to standard error"),
        Setting(obsolete: "log.consoleEnabled", "the log goes to the systemd journal, or to standard error"),
        Setting(obsolete: "migrate.snapshotPath", "the snapshot comes from the source itself"),
        Setting(obsolete: "migrate.shakeBinary", "no other program is run"),
        Setting(obsolete: "migrate.shakeArgs", "no other program is run"),
        Setting(obsolete: "migrate.shakeConfigFile", "no other program is run"),
        Setting(obsolete: "migrate.autoBgsave", "the snapshot comes from the source itself"),
        Setting(obsolete: "migrate.bgsaveTimeoutSeconds", "the snapshot comes from the source itself"),
        Setting(obsolete: "migrate.snapshotOnly", "'df2redis migrate' copies once, 'df2redis replicate' goes on"),
    ]
}
