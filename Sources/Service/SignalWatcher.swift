import Dispatch
import Glibc

/// Turns SIGTERM and SIGINT into calls, and keeps SIGHUP, SIGPIPE and SIGXFSZ from ending the process: a file that may not
/// grow (LimitFSIZE=) is an error of its write.
final class SignalWatcher: @unchecked Sendable {  // the sources are made here and cancelled here, and thread-safe
    private let sources: [any DispatchSourceSignal]

    /// - Parameter handler: called for each SIGTERM or SIGINT, with its name, on a queue of the watcher's own.
    init(_ handler: @escaping @Sendable (String) -> Void) {
        for ignored in [SIGHUP, SIGPIPE, SIGXFSZ] { signal(ignored, SIG_IGN) }
        let queue = DispatchQueue(label: "df2redis.signals")
        sources = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")].map { number, name in
            // The default action would end the process before the source sees the signal.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { handler(name) }
            source.activate()
            return source
        }
    }

    deinit { for source in sources { source.cancel() } }
}
