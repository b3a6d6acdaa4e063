import Base
import Dashboard
import Glibc
import Logging
import Replication
import Systemd

/// `df2redis replicate` and `migrate`: runs one task, from a checked configuration to the exit status.
///
/// It sets up the log, watches signals, reports the task's state to systemd, and leaves everything else to the `Replicator`.
package struct ReplicationService: Sendable {
    package enum Mode: String, Sendable {
        /// Follow the source until asked to leave.
        case replicate
        /// One full sync, then leave.
        case migrate
    }

    package let configuration: Configuration
    package let mode: Mode
    /// The loader's warnings about the configuration file, for the log.
    package let warnings: [ConfigurationProblem]
    /// The path of the configuration file, for the status.
    package let configurationFile: String

    package init(
        configuration: Configuration, mode: Mode, warnings: [ConfigurationProblem], configurationFile: String = ""
    ) {
        self.configurationFile = configurationFile
        self.configuration = configuration
        self.mode = mode
        self.warnings = warnings
    }

    package func run() async -> ExitStatus {
        let (began, isService) = (ContinuousClock.now, RestartDelay.isService)
        let status = await runTask()
        PrivilegeDrop(configuration).end()
        await RestartDelay.wait(before: status, since: began, isService: isService)
        return status
    }

    /// 1. Catch signals, so that none is lost from here on, and set up the log.
    /// 2. Log what starts, and noteworthy settings.
    /// 3. Check the preconditions and take the lock.
    /// 4. Create the replicator and the objects that report its state.
    /// 5. Open the page and the control socket.
    /// 6. Run until the task ends or is asked to leave.
    /// 7. Close the page and the control socket.
    private func runTask() async -> ExitStatus {
        // 1
        var signals = SignalWatcher()
        defer { withExtendedLifetime(signals) {} }
        let output = LogOutput.bootstrap(
            level: configuration.log.level, format: configuration.log.format,
            metadata: ["task": "\(configuration.taskName)"])
        defer { output.flush() }
        let events = EventLog()
        let logger = events.noting(Logger(label: "df2redis"))
        let notifier = ServiceNotifier(logger: logger)

        // 2
        announce(logger)

        // 3
        let lock: TaskLock
        do throws(TaskPreconditions.Refusal) {
            lock = try await TaskPreconditions(configuration, configurationFile: configurationFile).establish()
        } catch {
            logger.critical("\(error.description); exit status \(error.exitStatus.code)")
            notifier.failure(errno: error.errno, error.description)
            return error.exitStatus
        }
        defer { withExtendedLifetime(lock) {} }

        // 4
        let report = TaskReport(task: taskDescription, events: events)
        let reporter = TaskReporter(
            report, statusFile: configuration.statusFile, certificates: ClientCertificates(configuration),
            notifier: notifier, logger: logger, output: output)
        let settings = replicatorSettings(logger)
        let replicator = Replicator(settings: settings, logger: logger, notice: { reporter.report($0) })
        report.setIncidents { [weak replicator] in replicator?.recentIncidents ?? [] }
        report.setPositions { [weak replicator] in replicator?.nextLSNs ?? [] }

        // 5
        let stopRequests = StopRequests()
        let server = DashboardServer(settings: serverSettings, report: report, logger: logger)
        await server.start(control(of: replicator, stopRequests, undo: settings.undoCommand, logger))

        // 6
        signals.watch { name in
            logger.notice("\(name) received")
            stopRequests.add(TaskControl.Stop())
        }
        let run = TaskRun(
            task: configuration.taskName, replicator: replicator, stopRequests: stopRequests,
            leaveLimit: settings.leaveLimit,
            mode: mode, notifier: notifier,
            logger: logger)
        let status = await run.untilItsEnd(onEnd: server.beSilent)

        // 7
        await server.stop()
        return status
    }

    private func announce(_ logger: Logger) {
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
    }

    private func replicatorSettings(_ logger: Logger) -> ReplicatorSettings {
        var settings = ReplicatorSettings(configuration, mode: mode)
        settings.undoCommand = CutoverMark.undo(
            configuration.taskName, FilePathText.inWorkingDirectory(configurationFile))
        settings.socketStore = SystemdSocketStore(logger: logger)
        if let limit = Watchdog.interval() { settings.hangBeats = max(2, Int(limit.components.seconds) / 3) }
        return settings
    }

    /// The requests that clients of the control socket may make.
    ///
    /// - Parameter undo: the command that lets the task start again after a cut-over.
    private func control(
        of replicator: Replicator, _ stopRequests: StopRequests, undo: String, _ logger: Logger
    ) -> TaskControl {
        let (mark, target) = (CutoverMark(configuration), configuration.target.place)
        return TaskControl(operatorRequests: replicator.operatorRequests) { stopRequest in
            if stopRequest.isCutover {
                // From here on the task must not start again, whatever becomes of this process.
                do { try mark.set() } catch {
                    logger.error("the task goes on, since it cannot be noted that it is cut over: \(error)")
                    return "the task cannot note that it is cut over, and goes on: \(error)"
                }
            }
            logger.notice(
                "\(stopRequest.announcement(target: target, undo: undo))",
                metadata: stopRequest.isCutover ? ["event": "cutOver"] : [:])
            stopRequests.add(stopRequest)
            return nil
        }
    }
}
