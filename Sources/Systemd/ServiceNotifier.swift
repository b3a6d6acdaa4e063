import Base
import CSystemd
import Glibc
package import Logging

/// Reports the state of this process to the service manager (`sd_notify(3)`).
///
/// Outside systemd every call does nothing and returns `.notSupervised`. A message that cannot be sent is no reason to stop
/// replicating: the call logs a warning and returns `.failed`, but never throws.
///
/// A call is one `sendmsg` on a datagram socket and may come from any thread. It waits only if the service manager has
/// stopped reading, which stops far more than us.
package struct ServiceNotifier: Sendable {
    private let logger: Logger?

    /// - Parameter logger: for messages that could not be sent; nil for silence.
    package init(logger: Logger? = nil) {
        self.logger = logger
    }

    /// Reports that the service is up, which `systemctl start` waits for.
    @discardableResult
    package func ready(status: String? = nil) -> Delivery {
        send("READY=1", status: status)
    }

    /// Sets the line that `systemctl status` shows.
    @discardableResult
    package func status(_ text: String) -> Delivery {
        send(nil, status: text)
    }

    /// Reports that the service has begun to leave, by its own choice or another's.
    @discardableResult
    package func stopping(status: String? = nil) -> Delivery {
        send("STOPPING=1", status: status)
    }

    /// Sends the sign of life that `WatchdogSec=` demands: see `Watchdog.interval()`.
    @discardableResult
    package func watchdogPing() -> Delivery {
        send("WATCHDOG=1", status: nil)
    }

    /// Requests that the present start or stop may take `duration` from now on.
    ///
    /// Call this only while there is real progress: nothing else bypasses `TimeoutStartSec=` and `TimeoutStopSec=`.
    @discardableResult
    package func extendTimeout(_ duration: Duration) -> Delivery {
        precondition(duration > .zero, "a timeout is extended, not cut")
        return send("EXTEND_TIMEOUT_USEC=\(Self.microseconds(duration))", status: nil)
    }

    /// Reports that the service fails for the reason `message`; `systemctl status` shows `errno` as `Error:`.
    @discardableResult
    package func failure(errno: Int32? = nil, _ message: String) -> Delivery {
        send(errno.map { "ERRNO=\($0)" }, status: message)
    }

    private func send(_ assignments: String?, status: String?) -> Delivery {
        let lines = [assignments, status.map { "STATUS=" + Self.singleLine($0) }]
        let delivery = Delivery(result: sd_notify(0, lines.compactMap(\.self).joined(separator: "\n")))
        if case .failed(let errno) = delivery {
            logger?.warning("systemd cannot be reached: \(errorText(errno))", metadata: ["errno": "\(errno)"])
        }
        return delivery
    }
}

extension ServiceNotifier {
    /// The maximum number of bytes of a status. The service manager drops a message beyond `PIPE_BUF` (4,096 bytes) as a
    /// whole.
    static let maximumStatusBytes = 2_048

    /// Whole microseconds; a duration that does not fit into the service manager's 64 bits becomes the largest value.
    private static func microseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        let (whole, multiplied) = seconds.multipliedReportingOverflow(by: 1_000_000)
        let (sum, added) = whole.addingReportingOverflow(attoseconds / 1_000_000_000_000)
        return multiplied || added ? .max : sum
    }

    /// `text` as a value of one assignment: a line break in it would begin another, a NUL would end the message.
    static func singleLine(_ text: String) -> String {
        var line = ""
        for character in text {
            let breaks = character.unicodeScalars.contains { $0.properties.generalCategory == .control }
            let next = breaks ? " " : character
            guard line.utf8.count + next.utf8.count <= maximumStatusBytes - 3 else { return line + "…" }
            line.append(next)
        }
        return line
    }
}

/// The text of an error number, as `strerror_r(3)` gives it.
func errorText(_ number: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        guard let base = buffer.baseAddress, strerror_r(number, base, buffer.count) == 0 else {
            return "errno \(number)"
        }
        return String(cString: base)
    }
}
