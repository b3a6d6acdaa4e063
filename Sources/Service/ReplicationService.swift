import Base
import Dashboard
import Dragonfly
import Glibc
import Link
import Logging
import Redis
import Replication
import Systemd

/// One task at work: from a checked configuration to the exit code.
///
/// It sets up logging, watches signals, reports its state to systemd, and leaves everything else to the `Replicator`.
package struct ReplicationService: Sendable {
    package enum Mode: String, Sendable {
        /// Follow the source until asked to leave.
        case replicate
        /// One full sync, then leave.
        case migrate
    }

    package let configuration: Configuration
    package let mode: Mode
    /// What the loader found worth a warning in the configuration's file, for the log.
    package let warnings: [ConfigurationProblem]
    /// For whoever asks where it is.
    package let configurationFile: String

    package init(
        configuration: Configuration, mode: Mode, warnings: [ConfigurationProblem], configurationFile: String = ""
    ) {
        self.configurationFile = configurationFile
        self.configuration = configuration
        self.mode = mode
        self.warnings = warnings
    }

    package func run() async -> ExitCode {
        let (began, isService) = (ContinuousClock.now, RestartPace.isService)
        let code = await perform()
        StateTakeover(configuration).end()
        await RestartPace.wait(before: code, since: began, isService: isService)
        return code
    }

    private func perform() async -> ExitCode {
        var signals = SignalWatcher()
        let output = LogOutput.bootstrap(
            level: configuration.log.level,
            format: configuration.log.format,
            metadata: ["task": "\(configuration.taskName)"])
        defer { output.flush() }
        let events = EventLog()
        let logger = events.noting(Logger(label: "df2redis"))
        let notifier = ServiceNotifier(logger: logger)
        logger.notice(
            "df2redis \(Version.current) \(mode.rawValue): \(configuration.source.address) to \(configuration.target.place)",
            metadata: ["event": "started"])
        logInheritedDepartures(logger)
        for warning in warnings { logger.warning("configuration: \(warning)") }
        if configuration.checkpoint.store == .file {
            logger.notice(
                """
                checkpoint.store is file: at least once. After a crash up to \(configuration.checkpoint.interval) of \
                commands are applied again, and INCR, APPEND, LPUSH and their like twice
                """)
        }

        if let (key, error) = makeFolders() {
            logger.critical("\(key): \(error)")
            notifier.failure(errno: error.errno, "\(key): \(error)")
            return .cantCreate
        }
        let lock: TaskLock
        do {
            lock = try await TaskLock.take("\(configuration.stateDirectory)/\(configuration.taskName).lock")
        } catch {
            logger.critical("\(error)")
            notifier.failure("\(error)")
            if case .held = error { return .targetUnavailable }
            return .cantCreate
        }
        defer { withExtendedLifetime(lock) {} }
        let mark = CutoverMark(configuration)
        guard !mark.isSet else {
            let reason = mark.refusal(configuration, file: Self.absolute(configurationFile))
            logger.critical("\(reason); exit status \(ExitCode.config.rawValue)")
            notifier.failure(reason)
            return .config
        }
        let report = TaskReport(task: description, events: events)
        let reporter = Reporter(
            report, statusFile: configuration.statusFile, notifier: notifier, logger: logger, output: output)
        let server = DashboardServer(settings: serverSettings, report: report, logger: logger)
        var settings = ReplicatorSettings(configuration, mode: mode)
        settings.undoCommand = CutoverMark.undo(configuration.taskName, Self.absolute(configurationFile))
        settings.socketStore = SystemdSocketStore(logger: logger)
        if let limit = Watchdog.interval() { settings.hangBeats = max(2, Int(limit.components.seconds) / 3) }
        let replicator = Replicator(settings: settings, logger: logger, notice: { reporter.report($0) })
        report.setIncidents { [weak replicator] in replicator?.recentIncidents ?? [] }
        report.setPositions { [weak replicator] in replicator?.nextLSNs ?? [] }
        let orders = LeaveOrders()
        let (place, undo) = (configuration.target.place, settings.undoCommand)
        await server.start(
            TaskControl(demands: replicator.demands) { wish in
                if wish.isCutover {
                    // From here on the task must not start again, whatever becomes of this process.
                    do { try mark.set() } catch {
                        logger.error("the task goes on, since it cannot be noted that it is cut over: \(error)")
                        return "the task cannot note that it is cut over, and goes on: \(error)"
                    }
                }
                logger.notice(
                    "\(wish.announcement(target: place, undo: undo))",
                    metadata: wish.isCutover ? ["event": "cutOver"] : [:])
                orders.add(wish)
                return nil
            })
        let code = await run(
            replicator, settings: settings, orders: orders, signals: &signals, notifier: notifier, logger: logger,
            onEnd: server.beSilent)
        await server.stop()
        return code
    }

    private func run(
        _ replicator: Replicator, settings: ReplicatorSettings, orders: LeaveOrders, signals: inout SignalWatcher,
        notifier: ServiceNotifier, logger: Logger, onEnd: () -> Void
    ) async -> ExitCode {
        signals.watch { name in
            logger.notice("\(name) received")
            orders.add(TaskControl.Stop())
        }
        defer { withExtendedLifetime(signals) {} }
        // Owned by this call, which waits for its end.
        let leaving = Task { [limit = settings.leaveLimit] in
            for await order in orders.stream {
                notifier.stopping(status: "leaving the source")
                // Beyond the unit's TimeoutStopSec= only where shutdown.drainSeconds is long.
                notifier.extendTimeout(limit)
                await replicator.leave(drains: order.drains, isCutover: order.isCutover)
            }
        }
        let code = await exitCode(of: replicator, logger, notifier, onEnd: onEnd)
        orders.end()
        await leaving.value
        return code
    }

    /// Runs the task to its end, and reports how it has ended.
    ///
    /// - Parameter onEnd: called before the report.
    private func exitCode(
        of replicator: Replicator, _ logger: Logger, _ notifier: ServiceNotifier, onEnd: () -> Void
    ) async -> ExitCode {
        let result: Result<ReplicationSummary, any Error>
        do { result = .success(try await replicator.run()) } catch { result = .failure(error) }
        onEnd()
        do {
            let summary = try result.get()
            guard !summary.isUnfinished else {
                let message = "the migration was ended before it was complete: \(summary.text(mode))"
                logger.error("\(message); exit status \(ExitCode.targetUnavailable.rawValue)")
                notifier.failure(message)
                return .targetUnavailable
            }
            logger.notice("done: \(summary.text(mode))")
            return .ok
        } catch {
            let error = ReplicationError(error)
            let code = error.exitCode
            var metadata = error.metadata
            if code == .policyStop { metadata["event"] = "policyStop" }
            logger.critical("\(error); exit status \(code.rawValue)", metadata: metadata)
            notifier.failure(error.description)
            return code
        }
    }

    /// - Returns: the key of a folder that cannot be made or used, and why.
    private func makeFolders() -> (key: String, error: SystemError)? {
        for (key, path) in [("stateDir", configuration.stateDirectory), ("spool.dir", configuration.spool.directory)] {
            if let error = makeFolder(path) { return (key, error) }
        }
        return nil
    }

    private func makeFolder(_ path: String) -> SystemError? {
        var built = ""
        for part in path.split(separator: "/") {
            built += "/\(part)"
            if mkdir(built, 0o750) != 0, errno != EEXIST { return SystemError("mkdir", errno: errno, peer: built) }
        }
        var info = stat()
        if stat(path, &info) == 0, info.st_mode & S_IFMT != S_IFDIR {
            return SystemError("mkdir", errno: ENOTDIR, peer: path)
        }
        return access(path, W_OK | X_OK) == 0 ? nil : SystemError("access", errno: errno, peer: path)
    }
}

/// Reports the task's state to systemd, the status file and the log.
private final class Reporter: Sendable {
    private static let beatsPerLine = 30
    /// What an attempt may take beyond the wait before it.
    private static let loadingPatience = Duration.seconds(30)

    private let status: TaskReport
    private let file: StatusFile
    private let notifier: ServiceNotifier
    private let logger: Logger
    private let output: LogOutput
    private let state = Lock((beats: 0, hasFileFailed: false))

    init(
        _ status: TaskReport, statusFile: String, notifier: ServiceNotifier, logger: Logger, output: LogOutput
    ) {
        self.status = status
        file = StatusFile(path: statusFile)
        self.notifier = notifier
        self.logger = logger
        self.output = output
    }

    func report(_ notice: ReplicatorNotice) {
        status.take(notice)
        switch notice {
        case .sessionEnded: break
        case .ready(let status):
            notifier.ready(status: status.summary)
            write()
        case .phase(let status):
            notifier.status(status.summary)
            write()
        case .loading(let status, let next):
            // The one way around the start's timeout: the peer says that it makes progress, and we go on asking.
            notifier.extendTimeout(next + Self.loadingPatience)
            notifier.status(status.summary)
        case .beat(let status, let isAlive):
            if isAlive { notifier.watchdogPing() }
            notifier.status(status.summary)
            write()
            output.tellSuppressed()
            let beats = state.withLock { state in
                state.beats += 1
                return state.beats
            }
            if beats % Self.beatsPerLine == 0 || (status.phase == .fullSync && beats % 5 == 0) {
                logger.info("\(status.summary)", metadata: ["phase": "\(status.phase.rawValue)"])
            }
        }
    }

    private func write() {
        do throws(SystemError) {
            try file.write(status)
            // A disk that is full a second time is news.
            state.withLock { $0.hasFileFailed = false }
        } catch {
            let isFirst = state.withLock { state in
                defer { state.hasFileFailed = true }
                return !state.hasFileFailed
            }
            if isFirst { logger.warning("the status file cannot be written: \(error)") }
        }
    }
}

extension ReplicationSummary {
    fileprivate func text(_ mode: ReplicationService.Mode) -> String {
        var parts = ["\(keys) keys"]
        if mode == .replicate { parts.append("\(records) journal records") }
        if expiredKeys > 0 { parts.append("\(expiredKeys) expired keys left out") }
        if conflictingKeys > 0 { parts.append("\(conflictingKeys) existing keys left as they were") }
        for (kind, count) in incidents.sorted(by: { $0.key < $1.key }) { parts.append("\(count) x \(kind)") }
        return parts.joined(separator: ", ")
    }
}

extension ReplicationError {
    /// What is reported to the shell and to systemd.
    var exitCode: ExitCode {
        switch code {
        case .source(.unreachable), .source(.loading), .source(.notReady), .source(.replica), .source(.resumeRefused):
            .sourceUnavailable
        case .source(.exhausted), .target(.exhausted): .osError
        case .source(.permission), .source(.clientCertificate), .target(.permission), .target(.clientCertificate):
            .noPermission
        case .source(.notAMaster), .source(.tls), .target(.unsuitable), .target(.tls),
            .target(.sentinel):
            .config
        case .source(.protocolViolation), .target(.protocolViolation), .undecodable: .protocolError
        case .target(.unreachable), .target(.loading), .target(.notReady), .target(.changed), .target(.taskTaken),
            .targetChanged,
            .overflow, .postponed:
            .targetUnavailable
        case .resync, .recordsLost, .dataReplaced, .cancelled: .sourceUnavailable
        case .defect: .software
        case .policy: .policyStop
        case .configuration, .cutOver: .config
        case .file: .ioError
        }
    }
}
