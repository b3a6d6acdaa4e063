import Dispatch
import Glibc

/// The end of the pipe that the signal handler writes to. It is set before the handler, for the life of the process.
nonisolated(unsafe) private var signalPipe: Int32 = -1  // written once, before there is a handler that reads it

/// Turns SIGTERM, SIGINT and SIGQUIT into calls, and ignores SIGHUP, SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2 and SIGALRM.
///
/// The ignored signals have no meaning here, and an end of the process would reset its connections to the source. If a file
/// may not grow (LimitFSIZE=), the write fails with an error instead.
///
/// After `init` no signal is lost, even if `watch` is called later. (A Dispatch source for a signal would lose signals that
/// arrive between its creation and its activation on Dispatch's own thread.) A process has at most one watcher.
struct SignalWatcher {
    private let descriptor: Int32
    /// Created when it is activated: Dispatch traps if a source is released that was never activated.
    private var source: (any DispatchSourceRead)?

    private static let ignored = [SIGHUP, SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM]
    /// The signals that the handler is called for, with their names.
    private static let watched = [SIGTERM: "SIGTERM", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT"]

    init() {
        for ignored in Self.ignored { signal(ignored, SIG_IGN) }
        var ends: [Int32] = [-1, -1]
        let code = pipe(&ends)
        precondition(code == 0 && signalPipe < 0, "the process watches its signals once, and may have a pipe")
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        signalPipe = ends[1]
        descriptor = ends[0]
        for number in Self.watched.keys {
            var action = sigaction()
            action.sa_flags = SA_RESTART
            action.__sigaction_handler.sa_handler = { number in
                let before = errno
                var byte = UInt8(truncatingIfNeeded: number)
                _ = write(signalPipe, &byte, 1)
                errno = before
            }
            sigaction(number, &action, nil)
        }
    }

    /// - Parameter handler: called for each SIGTERM, SIGINT or SIGQUIT, with its name, on a queue of the watcher's own.
    mutating func watch(_ handler: @escaping @Sendable (String) -> Void) {
        let source = DispatchSource.makeReadSource(
            fileDescriptor: descriptor, queue: DispatchQueue(label: "df2redis.signals"))
        self.source = source
        source.setEventHandler { [descriptor] in
            var number: UInt8 = 0
            while read(descriptor, &number, 1) == 1 { handler(Self.watched[Int32(number)] ?? "a signal") }
        }
        source.activate()
    }
}
