import Foundation
import Wire

/// Measures how long a single SET on an otherwise idle source takes until the target has executed it, in two parts:
/// until its record leaves the source, and from there on.
///
/// ```
/// SET's reply ── the source keeps the record ──▶ record on the flow ── df2redis ──▶ executed by the target
///                                                (a proxy sees it)                  (MONITOR shows it)
/// ```
package struct IdleLatency {
    /// The waits of all SETs, in milliseconds.
    package struct Waits {
        /// From the SET's reply to the record on the flow; negative if the record was faster than the reply.
        package var atSource: [Double] = []
        /// From the record on the flow to the target's execution. This includes df2redis, the target and two trips over
        /// loopback.
        package var afterSource: [Double] = []
        /// From the SET's reply to the target's execution.
        package var total: [Double] = []
    }

    private let source: UInt16
    private let proxy: TCPProxy
    private let watch = RecordWatch()

    package init(source: UInt16) throws {
        self.source = source
        let watch = watch
        proxy = try TCPProxy(to: source) { watch.look(at: $0) }
    }

    /// The port at which the daemon must connect to its source.
    package var port: UInt16 { proxy.port }

    package func stop() { proxy.stop() }

    /// Sends `count` SETs, each after a random pause in milliseconds.
    package func measure(_ count: Int, target: RedisServer, pause: ClosedRange<Int> = 5...40) throws -> Waits {
        let client = try RESPClient(port: source)
        let monitor = try target.client(timeout: .seconds(30))
        // MONITOR sends each command to this connection at the moment when the target executes it.
        try monitor.command("MONITOR")
        var waits = Waits()
        for number in 0..<count {
            blockThread(for: .milliseconds(Int.random(in: pause)))
            let key = "idle:\(number):"
            watch.wait(for: key)
            try client.command("SET", key, "v")
            let replied = ContinuousClock.now
            while try monitor.read().text?.contains("\"SET\" \"\(key)\"") != true {}
            let executed = ContinuousClock.now
            guard let left = watch.seen else { throw LabError("the record of \(key) came by in two pieces") }
            waits.atSource.append(replied.duration(to: left).seconds * 1000)
            waits.afterSource.append(left.duration(to: executed).seconds * 1000)
            waits.total.append(replied.duration(to: executed).seconds * 1000)
        }
        return waits
    }
}

/// Notes when a key appears in the bytes of a flow.
private final class RecordWatch: @unchecked Sendable {  // everything is under the lock
    private let lock = NSLock()
    private var key: [UInt8] = []
    private var time: ContinuousClock.Instant?

    func wait(for key: String) { lock.withLock { (self.key, time) = (Array(key.utf8), nil) } }

    /// When the key appeared.
    var seen: ContinuousClock.Instant? { lock.withLock { time } }

    func look(at bytes: ArraySlice<UInt8>) {
        let now = ContinuousClock.now
        lock.withLock {
            if !key.isEmpty, time == nil, bytes.firstRange(of: key) != nil { time = now }
        }
    }
}
