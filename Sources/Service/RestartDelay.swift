import Glibc

/// Makes a run under systemd last a minimum time if it ends for a reason that may go away by itself: a peer that cannot be
/// reached, a full disk.
///
/// systemd starts the task again after `RestartSec=`, and gives up for good after `StartLimitBurst=` starts within
/// `StartLimitIntervalSec=`. If a server is down, a start fails within milliseconds, so systemd would give up within
/// minutes.
enum RestartDelay {
    /// With `RestartSec=500ms` this makes 110 starts in ten minutes; the unit allows 120.
    static let shortestRun = Duration.seconds(5)

    /// Whether systemd waits for this process to be ready.
    static var isService: Bool { getenv("NOTIFY_SOCKET") != nil }

    static func pause(before status: ExitStatus, after elapsed: Duration, isService: Bool) -> Duration {
        guard isService, [EX_UNAVAILABLE, EX_OSERR, EX_IOERR, EX_TEMPFAIL].contains(status.code) else { return .zero }
        return max(.zero, shortestRun - elapsed)
    }

    /// Waits for the pause. Nothing needs an orderly end any more, so a signal ends the process at once.
    static func wait(before status: ExitStatus, since began: ContinuousClock.Instant, isService: Bool) async {
        let pause = pause(before: status, after: began.duration(to: .now), isService: isService)
        guard pause > .zero else { return }
        for number in [SIGTERM, SIGINT, SIGQUIT] { signal(number, SIG_DFL) }
        try? await Task.sleep(for: pause)
    }
}
