import Base
import Glibc
import Lab
import Testing

@testable import Systemd

/// Each test that needs an environment of its own runs in a process of its own.
struct ServiceNotifierTests {
    @Test func `outside systemd nothing is sent and every call says so`() async {
        await #expect(processExitsWith: .success) {
            unsetenv("NOTIFY_SOCKET")
            let notifier = ServiceNotifier()
            #expect(notifier.ready() == .notSupervised)
            #expect(notifier.status("x") == .notSupervised)
            #expect(notifier.stopping() == .notSupervised)
            #expect(notifier.watchdogPing() == .notSupervised)
            #expect(notifier.extendTimeout(.seconds(1)) == .notSupervised)
            #expect(notifier.failure("x") == .notSupervised)
        }
    }

    @Test func `every call sends one message with exactly the assignments of sd_notify`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            let notifier = ServiceNotifier()
            #expect(notifier.ready() == .sent)
            notifier.ready(status: "Full sync, 4 flows")
            notifier.status("Stable, lag 0")
            notifier.stopping()
            notifier.stopping(status: "Leaving")
            notifier.watchdogPing()
            notifier.extendTimeout(.milliseconds(1_500))
            notifier.failure("the disk is full")
            notifier.failure(errno: ENOSPC, "the disk is full")
            #expect(
                socket.drain() == [
                    "READY=1",
                    "READY=1\nSTATUS=Full sync, 4 flows",
                    "STATUS=Stable, lag 0",
                    "STOPPING=1",
                    "STOPPING=1\nSTATUS=Leaving",
                    "WATCHDOG=1",
                    "EXTEND_TIMEOUT_USEC=1500000",
                    "STATUS=the disk is full",
                    "ERRNO=28\nSTATUS=the disk is full",
                ])
        }
    }

    @Test func `line breaks and control characters in a status become spaces`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            ServiceNotifier().status("a\nREADY=1\r\nb\0c\u{1B}[31m")
            #expect(socket.drain() == ["STATUS=a READY=1 b c [31m"])
        }
    }

    @Test func `a status beyond the limit is cut between characters`() {
        let line = ServiceNotifier.singleLine(String(repeating: "é", count: 5_000))
        #expect(line.utf8.count <= ServiceNotifier.maximumStatusBytes)
        #expect(line.utf8.count > ServiceNotifier.maximumStatusBytes - 8)
        #expect(line.hasSuffix("é…"))
        #expect(ServiceNotifier.singleLine("short") == "short")
    }

    @Test func `an extension beyond the field's range is sent as its maximum`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            ServiceNotifier().extendTimeout(.seconds(Int64.max / 2))
            #expect(socket.drain() == ["EXTEND_TIMEOUT_USEC=\(Int64.max)"])
        }
    }

    @Test func `a socket without a listener leads to a log record`() async {
        await #expect(processExitsWith: .success) {
            setenv("NOTIFY_SOCKET", "@df2redis-nobody-\(getpid())", 1)
            let log = LogCapture()
            #expect(ServiceNotifier(logger: log.logger).ready() == .failed(errno: ECONNREFUSED))
            #expect(log.messages == ["systemd cannot be reached: Connection refused"])
        }
    }
}

struct WatchdogTests {
    @Test func `the watchdog's interval comes from the environment if it is meant for this process`() async {
        await #expect(processExitsWith: .success) {
            unsetenv("WATCHDOG_USEC")
            unsetenv("WATCHDOG_PID")
            #expect(Watchdog.interval() == nil)
            setenv("WATCHDOG_USEC", "15000000", 1)
            #expect(Watchdog.interval() == .seconds(15))
            setenv("WATCHDOG_PID", "\(getpid())", 1)
            #expect(Watchdog.interval() == .seconds(15))
            setenv("WATCHDOG_PID", "\(getppid())", 1)
            #expect(Watchdog.interval() == nil)
            setenv("WATCHDOG_PID", "\(getpid())", 1)
            setenv("WATCHDOG_USEC", "soon", 1)
            #expect(Watchdog.interval() == nil)
        }
    }
}
