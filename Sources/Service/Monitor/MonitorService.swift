import Dragonfly
import Link
import Logging
import Replication
import Systemd

/// `df2redis monitor`: watches the source beside a task, and raises alerts.
package struct MonitorService: Sendable {
    private let configuration: Configuration
    private let warnings: [ConfigurationProblem]

    package init(configuration: Configuration, warnings: [ConfigurationProblem]) {
        self.configuration = configuration
        self.warnings = warnings
    }

    /// Runs until SIGTERM or SIGINT.
    package func run() async -> ExitStatus {
        var signals = SignalWatcher()
        let output = LogOutput.bootstrap(
            level: configuration.log.level, format: configuration.log.format,
            metadata: ["task": "\(configuration.taskName)"])
        defer { output.flush() }
        let logger = Logger(label: "df2redis.monitor")
        for warning in warnings { logger.warning("configuration: \(warning)") }
        let notifier = ServiceNotifier(logger: logger)
        let monitor = configuration.monitor
        logger.notice(
            "df2redis \(Version.current) monitor: \(configuration.source.address), log \(monitor.log ?? "none")")
        let work = Task { await watch(logger, notifier) }
        signals.watch { name in
            logger.notice("\(name) received")
            work.cancel()
        }
        defer { withExtendedLifetime(signals) {} }
        await work.value
        notifier.stopping()
        return .done
    }

    private func watch(_ logger: Logger, _ notifier: ServiceNotifier) async {
        let monitor = configuration.monitor
        let settings = ReplicatorSettings(configuration, mode: .replicate)
        let probe = SourceProbe(
            settings: settings.source, limit: monitor.pingLimit, sessionLimit: monitor.sessionLimit, logger: logger)
        let hook = AlertHook(configuration, logger: logger)
        var log = SourceLog(monitor, logger: logger)
        var activeAlerts = ActiveAlerts()
        var isReady = false
        while !Task.isCancelled {
            let found = await probe.alerts() + log.alerts(at: .now)
            if Task.isCancelled { break }
            for change in activeAlerts.update(found) {
                report(change, logger)
                hook.send(change)
            }
            let status =
                activeAlerts.raised.isEmpty
                ? "the source is well" : activeAlerts.raised.map(\.message).joined(separator: "; ")
            if isReady { notifier.status(status) } else { notifier.ready(status: status) }
            isReady = true
            try? await Task.sleep(for: monitor.interval)
        }
        log.close()
        await probe.close()
        hook.finish()
    }

    private func report(_ change: ActiveAlerts.Change, _ logger: Logger) {
        switch change {
        case .raised(let alert):
            logger.error("\(alert.message)", metadata: ["event": "alertRaised", "alert": "\(alert.name)"])
        case .cleared(let alert):
            logger.notice("over: \(alert.message)", metadata: ["event": "alertCleared", "alert": "\(alert.name)"])
        }
    }
}

/// The source's log: raises alerts for its patterns, and warns when it cannot be read.
private struct SourceLog {
    private var follower: LogFollower?
    private var patterns: LogPatterns
    private var didComplain = false
    private let logger: Logger

    init(_ monitor: Configuration.Monitor, logger: Logger) {
        follower = monitor.log.map { LogFollower($0) }
        patterns = LogPatterns(monitor.patterns, quiet: monitor.quiet)
        self.logger = logger
        // Open the log now, so that lines written during the first probe of the source are reported.
        _ = alerts(at: .now)
    }

    mutating func alerts(at now: ContinuousClock.Instant) -> [Alert] {
        guard follower != nil else { return [] }
        var lines: [String] = []
        do throws(SystemError) {
            lines = try follower?.lines() ?? []
            didComplain = false
        } catch {
            if !didComplain {
                logger.warning("the source's log cannot be read: \(error); it is tried again (monitor.log)")
            }
            didComplain = true
        }
        return patterns.alert(lines, at: now).map { [$0] } ?? []
    }

    mutating func close() { follower?.close() }
}
