import Glibc

/// How long a run lasts at least that ends since a peer cannot be reached, under systemd.
///
/// It starts the task again after `RestartSec=`, and gives up for good after `StartLimitBurst=` starts in
/// `StartLimitIntervalSec=`: at a server that is down a start fails within milliseconds, and it would be given up within minutes.
enum RestartPace {
    /// With `RestartSec=500ms`: 110 starts in ten minutes, of the 120 that the unit allows.
    static let shortestRun = Duration.seconds(5)

    /// Whether systemd waits for this process to be up.
    static var isService: Bool { getenv("NOTIFY_SOCKET") != nil }

    static func pause(before status: ExitStatus, after elapsed: Duration, isService: Bool) -> Duration {
        guard isService, [EX_UNAVAILABLE, EX_TEMPFAIL].contains(status.code) else { return .zero }
        return max(.zero, shortestRun - elapsed)
    }

    /// Nothing is left to be done in order: a signal ends the process at once.
    static func wait(before status: ExitStatus, since began: ContinuousClock.Instant, isService: Bool) async {
        let pause = pause(before: status, after: began.duration(to: .now), isService: isService)
        guard pause > .zero else { return }
        for number in [SIGTERM, SIGINT, SIGQUIT] { signal(number, SIG_DFL) }
        try? await Task.sleep(for: pause)
    }
}
