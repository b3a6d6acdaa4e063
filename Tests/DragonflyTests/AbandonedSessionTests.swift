import Dragonfly
import Glibc
import Link
import Testing

@Suite struct `An abandoned replication session` {
    /// Both ends of a stream: ours as systemd's store would return it, and the master's.
    private struct Pair {
        let ours: Int32
        let master: Int32

        init() {
            var ends: [Int32] = [0, 0]
            let code = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends)
            precondition(code == 0, "a pair of sockets can be made")
            (ours, master) = (ends[0], ends[1])
        }

        func send(_ count: Int) {
            let bytes = [UInt8](repeating: 7, count: count)
            precondition(write(master, bytes, count) == count, "the kernel takes a few bytes")
        }

        /// Reads until our FIN.
        func waitForFIN() {
            var byte: UInt8 = 0
            while read(master, &byte, 1) > 0 {}
        }
    }

    private final class Keeper: SocketStore {
        let released = Lock<[String]>([])
        func keep(_ descriptor: Int32, name: String) {}
        func release(name: String) { released.withLock { $0.append(name) } }
    }

    @Test func `sends FIN, reads up to the master's FIN and releases the socket, with the main connection last`() {
        let (flow, main) = (Pair(), Pair())
        let keeper = Keeper()
        flow.send(1000)
        let wasMainOpen = Lock(false)
        detachThread {
            flow.waitForFIN()
            var byte: UInt8 = 0
            let count = recv(main.master, &byte, 1, Int32(MSG_DONTWAIT))
            wasMainOpen.withLock { $0 = count < 0 && errno == EAGAIN }
            // Bytes that were on their way when our FIN came.
            flow.send(500)
            close(flow.master)
            main.waitForFIN()
            main.send(5)
            close(main.master)
        }
        let departures = AbandonedSession.leave(
            ["flow-0": [flow.ours], "main": [main.ours]], within: .seconds(30), socketStore: keeper)
        #expect(
            departures == [
                .init(name: "flow-0", sawMasterFIN: true, discardedBytes: 1500),
                .init(name: "main", sawMasterFIN: true, discardedBytes: 5),
            ])
        #expect(wasMainOpen.withLock { $0 })
        #expect(keeper.released.withLock { $0 } == ["flow-0", "main"])
    }

    @Test func `is closed after the time limit if the master sends no FIN, with everything read`() {
        let flow = Pair()
        flow.send(100)
        let departures = AbandonedSession.leave(
            ["flow-3": [flow.ours]], within: .milliseconds(50), socketStore: NoSocketStore())
        #expect(departures == [.init(name: "flow-3", sawMasterFIN: false, discardedBytes: 100)])
        var byte: UInt8 = 0
        #expect(read(flow.master, &byte, 1) == 0, "FIN, not ECONNRESET")
        close(flow.master)
    }
}
