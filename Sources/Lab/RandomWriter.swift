import Foundation

/// Writes seeded random commands of every family to a server, over several connections at once.
///
/// By default, the journal carries all commands without loss (Protocol 5.6 lists what a master does not report to its
/// replicas), so a replica that applies the journal correctly ends up equal. Each connection has its own generator; the
/// order in which their commands interleave is up to the threads.
package final class RandomWriter {
    package let seed: UInt64
    private let threads: [WriterThread]

    /// - Parameter databases: the databases written to.
    /// - Parameter keys: the number of keys of each type; with fewer keys, more commands meet at the same key.
    /// - Parameter prefix: the prefix of all keys.
    /// - Parameter flushes: whether a database is sometimes emptied.
    /// - Parameter incompletelyJournaled: whether commands that a journal records incompletely are written, too.
    package init(
        port: UInt16, connections: Int = 4, databases: [Int] = [0, 3], keys: Int = 40, prefix: String = "",
        flushes: Bool = true, incompletelyJournaled: Bool = false, seed: UInt64
    ) throws {
        self.seed = seed
        threads = try (0..<connections).map { index in
            var generator = CommandGenerator(
                seed: seed &+ UInt64(index), keys: keys, databases: databases, prefix: prefix, flushes: flushes)
            generator.writesIncompletelyJournaled = incompletelyJournaled
            return try WriterThread(port: port, database: databases[index % databases.count], generator: generator)
        }
        for thread in threads { thread.start() }
    }

    /// The number of commands that have been sent and answered so far.
    package var commandCount: Int { threads.reduce(0) { $0 + $1.commandCount } }

    /// Writes MOVE commands, too, from now on.
    package func beginMovingKeys() {
        for thread in threads { thread.beginMovingKeys() }
    }

    /// Ends the writing and waits for the last replies.
    ///
    /// - Throws: the error that broke a connection. Error replies to commands are expected (a key of another type, an
    /// empty list) and are not errors here.
    package func stop() throws {
        for thread in threads { thread.end() }
        for thread in threads { try thread.join() }
    }
}

/// One connection that writes until it is asked to end.
private final class WriterThread: @unchecked Sendable {  // what both threads touch is under the lock
    private let lock = NSCondition()
    private var isEnding = false
    private var hasEnded = false
    private var error: (any Error)?
    private var count = 0
    private let client: RESPClient
    private var generator: CommandGenerator

    init(port: UInt16, database: Int, generator: CommandGenerator) throws {
        client = try RESPClient(port: port)
        try client.command("SELECT", "\(database)")
        self.generator = generator
    }

    var commandCount: Int { lock.withLock { count } }

    func start() { Thread { self.run() }.start() }

    func beginMovingKeys() { lock.withLock { generator.movesKeys = true } }

    func end() { lock.withLock { isEnding = true } }

    func join() throws {
        lock.lock()
        defer { lock.unlock() }
        while !hasEnded { lock.wait() }
        if let error { throw error }
    }

    private func run() {
        var failure: (any Error)?
        do {
            while !lock.withLock({ isEnding }) {
                let batch = lock.withLock { generator.nextBatch() }
                _ = try client.pipeline(batch)
                lock.withLock { count += batch.count }
            }
        } catch { failure = error }
        lock.lock()
        (error, hasEnded) = (failure, true)
        lock.broadcast()
        lock.unlock()
    }
}
