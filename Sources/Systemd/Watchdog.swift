import CSystemd

/// The service manager's watchdog over this process (`WatchdogSec=` of the unit).
package enum Watchdog {
    /// The time between two pings after which this process is taken for stuck and killed.
    ///
    /// Ping at least twice as often. Read from `WATCHDOG_USEC`, and valid only if `WATCHDOG_PID` is this process.
    ///
    /// - Returns: nil when no watchdog is set, or when it is set for another process.
    package static func interval() -> Duration? {
        var microseconds: UInt64 = 0
        guard sd_watchdog_enabled(0, &microseconds) > 0 else { return nil }
        return .microseconds(microseconds)
    }
}
