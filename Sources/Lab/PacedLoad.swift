import Foundation

/// Sends SETs at a steady pace in small pipelines over a few connections, and measures how long they wait for their replies.
///
/// A wait begins when the commands were due, so the delay that a blocked server causes to later commands counts, too.
package final class PacedLoad {
    /// Waits in milliseconds.
    package struct Waits: Sendable {
        private var samples: [Double]
        /// The time in which the waits were collected.
        package private(set) var seconds: Double

        fileprivate init(_ samples: [Double], seconds: Double) {
            self.samples = samples.sorted()
            self.seconds = seconds
        }

        /// Adds waits that were taken later.
        package mutating func append(_ later: Waits) {
            samples = (samples + later.samples).sorted()
            seconds += later.seconds
        }

        package var count: Int { samples.count }
        package var longest: Double { samples.last ?? 0 }

        /// The wait that the fraction `share` of all waits does not exceed.
        package func percentile(_ share: Double) -> Double {
            guard !samples.isEmpty else { return 0 }
            return samples[min(Int(Double(samples.count) * share), samples.count - 1)]
        }
    }

    package let pipelined: Int
    private let threads: [PacedThread]
    private var lastTakenAt = ContinuousClock.now

    package init(
        port: UInt16, connections: Int = 4, commandsPerSecond: Int, pipelined: Int = 10, size: Int = 100,
        keys: Int = 100_000
    ) throws {
        self.pipelined = pipelined
        let interval = Duration.seconds(Double(connections * pipelined) / Double(commandsPerSecond))
        threads = try (0..<connections).map {
            try PacedThread(port, interval, pipelined, size: size, keys: keys, offset: interval / connections * $0)
        }
        for thread in threads { thread.start() }
    }

    /// Returns the waits since the last call, one for each pipeline.
    package func takeWaits() -> Waits {
        let now = ContinuousClock.now
        defer { lastTakenAt = now }
        return Waits(threads.flatMap { $0.takeWaits() }, seconds: lastTakenAt.duration(to: now).seconds)
    }

    /// Stops all connections.
    ///
    /// - Throws: the error that broke a connection.
    package func stop() throws {
        for thread in threads { thread.end() }
        for thread in threads { try thread.join() }
    }
}

/// One connection of the load.
private final class PacedThread: @unchecked Sendable {  // what both threads touch is under the lock
    private let worker = WorkerThread()
    private let lock = NSLock()
    private var waits: [Double] = []
    private let client: RESPClient
    private let interval: Duration
    private let pipelined: Int
    private let keys: Int
    private let offset: Duration
    private let value: [UInt8]

    init(_ port: UInt16, _ interval: Duration, _ pipelined: Int, size: Int, keys: Int, offset: Duration) throws {
        client = try RESPClient(port: port, timeout: .seconds(120))
        (self.interval, self.pipelined, self.keys, self.offset) = (interval, pipelined, keys, offset)
        value = [UInt8](repeating: UInt8(ascii: "v"), count: size)
    }

    func start() { worker.start { try self.run() } }
    func end() { worker.end() }
    func join() throws { try worker.join() }

    func takeWaits() -> [Double] {
        lock.withLock {
            defer { waits = [] }
            return waits
        }
    }

    private func run() throws {
        var due = ContinuousClock.now + offset
        while !worker.isEnding {
            let early = ContinuousClock.now.duration(to: due)
            if early > .zero { blockThread(for: early) }
            let commands = (0..<pipelined).map { _ in
                [Array("SET".utf8), Array("paced:\(Int.random(in: 0..<keys))".utf8), value]
            }
            _ = try client.pipeline(commands)
            let wait = due.duration(to: .now).seconds * 1000
            lock.withLock { waits.append(wait) }
            due += interval
        }
    }
}
