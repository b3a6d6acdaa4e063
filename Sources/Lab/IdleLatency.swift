import Foundation
import Wire

/// How long a single SET, on a source where nothing else happens, takes to be executed by the target.
package struct IdleLatency {
    private let source: RESPClient
    private let monitor: RESPClient

    package init(source: RESPClient, target: RedisServer) throws {
        self.source = source
        monitor = try target.client(timeout: .seconds(30))
        // Each command that the target executes is told to this connection at that moment.
        try monitor.command("MONITOR")
    }

    /// Milliseconds from the source's reply to the target's execution, of `count` SETs with pauses between them.
    package func measure(_ count: Int, pause: ClosedRange<Int> = 5...40) throws -> [Double] {
        try (0..<count).map { number in
            nap(.milliseconds(Int.random(in: pause)))
            let key = "idle:\(number)"
            try source.command("SET", key, "v")
            let start = ContinuousClock.now
            while try monitor.read().text?.contains("\"SET\" \"\(key)\"") != true {}
            return start.duration(to: .now).seconds * 1000
        }
    }
}
