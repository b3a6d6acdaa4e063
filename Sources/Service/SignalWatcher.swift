import Dispatch
import Glibc

/// The pipe's end that the signal handler writes to: set before the handler is, and for the life of the process.
nonisolated(unsafe) private var signalPipe: Int32 = -1  // written once, before there is a handler that reads it

/// Turns SIGTERM and SIGINT into calls, and keeps SIGHUP, SIGPIPE and SIGXFSZ from ending the process: a file that may not
/// grow (LimitFSIZE=) is an error of its write.
///
/// From `init` on no signal is lost, also when `watch` comes later. (A Dispatch source of the signal would lose what comes
/// between its making and its activation on Dispatch's own thread.) One a process.
struct SignalWatcher {
    private let descriptor: Int32
    /// Made when it is activated: Dispatch traps when one that never was is released.
    private var source: (any DispatchSourceRead)?

    init() {
        for ignored in [SIGHUP, SIGPIPE, SIGXFSZ] { signal(ignored, SIG_IGN) }
        var ends: [Int32] = [-1, -1]
        let code = pipe(&ends)
        precondition(code == 0 && signalPipe < 0, "the process watches its signals once, and may have a pipe")
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        signalPipe = ends[1]
        descriptor = ends[0]
        for number in [SIGTERM, SIGINT] {
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

    /// - Parameter handler: called for each SIGTERM or SIGINT, with its name, on a queue of the watcher's own.
    mutating func watch(_ handler: @escaping @Sendable (String) -> Void) {
        let source = DispatchSource.makeReadSource(
            fileDescriptor: descriptor, queue: DispatchQueue(label: "df2redis.signals"))
        self.source = source
        source.setEventHandler { [descriptor] in
            var number: UInt8 = 0
            while read(descriptor, &number, 1) == 1 { handler(Int32(number) == SIGTERM ? "SIGTERM" : "SIGINT") }
        }
        source.activate()
    }
}
