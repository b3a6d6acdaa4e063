import Base
import Dashboard
import Logging
import Replication
import Systemd

/// Reports the task's state to systemd, the status file and the log.
final class TaskReporter: Sendable {
    private static let beatsPerLine = 30
    private static let beatsPerCertificates = 60
    /// The time that an attempt may take in addition to the wait before it.
    private static let loadingPatience = Duration.seconds(30)

    private let status: TaskReport
    private let certificates: ClientCertificates
    private let file: StatusFile
    private let notifier: ServiceNotifier
    private let logger: Logger
    private let output: LogOutput
    private let state = Lock((beats: 0, hasFileFailed: false))

    init(
        _ status: TaskReport, statusFile: String, certificates: ClientCertificates, notifier: ServiceNotifier,
        logger: Logger, output: LogOutput
    ) {
        self.status = status
        self.certificates = certificates
        status.certificateEnds = certificates.ends()
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
            // Only here is the start timeout extended: the peer reports progress, and we keep asking.
            notifier.extendTimeout(next + Self.loadingPatience)
            notifier.status(status.summary)
        case .beat(let status, let isAlive):
            if isAlive { notifier.watchdogPing() }
            notifier.status(status.summary)
            write()
            output.reportSuppressed()
            let beats = state.withLock { state in
                state.beats += 1
                return state.beats
            }
            if beats % Self.beatsPerCertificates == 0 { self.status.certificateEnds = certificates.ends() }
            if beats % Self.beatsPerLine == 0 || (status.phase == .fullSync && beats % 5 == 0) {
                logger.info("\(status.summary)", metadata: ["phase": "\(status.phase.rawValue)"])
            }
        }
    }

    private func write() {
        do throws(SystemError) {
            try file.write(status)
            // Log the next failure again, such as a disk that fills up a second time.
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
