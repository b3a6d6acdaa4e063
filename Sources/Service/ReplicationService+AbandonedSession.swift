package import Dragonfly
import Glibc
import Logging
import Systemd

extension ReplicationService {
    /// The connections of an earlier process that were closed before this run, for its log.
    @TaskLocal package static var inheritedDepartures: [AbandonedSession.LeaveLog] = []

    /// How long the source may take to end an abandoned session. A constant, because the configuration is not read yet.
    private static let abandonedLimit = Duration.seconds(2)

    /// Leaves the session of an earlier process of this unit that was killed, using the sockets that systemd has kept.
    ///
    /// Call this first in `main`, before other threads run. Signals are blocked until it returns.
    package static func leaveAbandonedSession() -> [AbandonedSession.LeaveLog] {
        let sockets = FileDescriptorStore().takeAll()
        if sockets.isEmpty { return [] }
        var (blocked, before) = (sigset_t(), sigset_t())
        sigfillset(&blocked)
        pthread_sigmask(SIG_BLOCK, &blocked, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        return AbandonedSession.leave(sockets, within: abandonedLimit, socketStore: SystemdSocketStore())
    }

    func logInheritedDepartures(_ logger: Logger) {
        let departures = Self.inheritedDepartures
        if departures.isEmpty { return }
        let bytes = departures.reduce(0) { $0 + $1.discardedBytes }
        logger.notice(
            "the previous process was killed: its \(departures.count) connections to the source are closed, FIN first; the source sends the \(bytes) dropped bytes again",
            metadata: ["phase": "leaving", "event": "left"])
        for departure in departures where !departure.sawMasterFIN {
            let reason = departure.errno.map { "it was broken: \(String(cString: strerror($0)))" }
            logger.warning(
                "connection \(departure.name) of the previous process: \(reason ?? "closed without the source's FIN")",
                metadata: ["phase": "leaving"])
        }
    }
}
