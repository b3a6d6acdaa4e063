import Dispatch
import Lab
import Link
import Redis
import Testing
import Wire

/// A real server and a `TransactionLink` to it, driven from a test's thread.
final class TargetUnderTest {
    let redis: RedisServer
    let client: RESPClient
    /// The profile of Debian 12's server.
    static let redis70 = TargetProfile(flavor: .redis, version: .init(7, 0, 15))
    /// Debian 12 has no such server, so commands for it are compared as text.
    static let redis74 = TargetProfile(flavor: .redis, version: .init(7, 4), hasFieldExpiry: true)
    static let now: Int64 = 1_800_000_000_000

    private let queue = DispatchQueue(label: "test.target")
    private let events = Lock<[Event]>([])
    private let arrived = DispatchSemaphore(value: 0)
    private var link: TransactionLink?
    private var batches: UInt64 = 0
    /// Whether the owner closes the link within `onOutcome`. Set it before a batch is sent.
    var closesOnOutcome = false

    enum Event {
        case outcome(BatchOutcome)
        case lost(TargetError)
    }

    init(_ options: [String] = [], setUp: [[String]] = [], binary: String? = nil) async throws {
        redis = try RedisServer(options, binary: binary)
        client = try redis.client()
        for command in setUp { try client.command(command) }
        let socket = try await Dialer.connect(
            to: Endpoint(host: "127.0.0.1", port: redis.port), timeout: .seconds(10))
        let (events, arrived) = (events, arrived)
        func tell(_ event: Event) {
            events.withLock { $0.append(event) }
            arrived.signal()
        }
        queue.sync {
            let link = TransactionLink(
                socket: socket, peer: redis.address, queue: queue,
                onOutcome: { [unowned self] _, outcome in
                    if closesOnOutcome { self.link?.close() }
                    tell(.outcome(outcome))
                },
                onLost: { tell(.lost($0)) }, onRoom: {})
            self.link = link
        }
    }

    deinit {
        queue.sync { link?.close() }
        redis.stop()
    }

    /// Runs `body` with the link on its queue.
    func onLink<R>(_ body: (TransactionLink) throws -> R) rethrows -> R {
        try queue.sync {
            guard let link else { preconditionFailure("the link is there from init to deinit") }
            return try body(link)
        }
    }

    func nextEvent() throws -> Event {
        guard arrived.wait(timeout: .now() + 20) == .success else { throw LabError("no event of the link") }
        return events.withLock { $0.removeFirst() }
    }

    /// Seals `batch` with a checkpoint, sends it, and waits for its outcome.
    @discardableResult
    func send(_ batch: CommandBatch) throws -> BatchOutcome {
        seal(batch)
        onLink { $0.send(batch) }
        switch try nextEvent() {
        case .outcome(let outcome): return outcome
        case .lost(let error): throw error
        }
    }

    func seal(_ batch: CommandBatch) {
        batches += 1
        batch.seal(
            checkpoint: .init(
                key: Array("checkpoint".utf8), field: Array("flow:0".utf8), value: Array("\(batches)".utf8)))
    }

    /// The checkpoint in the target.
    var checkpoint: Int? { get throws { try client.command("HGET", "checkpoint", "flow:0").text.flatMap { Int($0) } } }

    // MARK: Journals

    /// Rewrites a record of a journal, and sends the resulting commands, if any. All of them must succeed.
    @discardableResult
    func apply(
        _ words: [String], transactionID: UInt64 = 0, source: SourceBehaviour = .v137,
        profile: TargetProfile = redis70
    ) throws -> RewriteOutcome {
        try apply(words.map { Array($0.utf8) }, transactionID: transactionID, source: source, profile: profile)
    }

    @discardableResult
    func apply(
        _ arguments: [[UInt8]], transactionID: UInt64 = 0, source: SourceBehaviour = .v137,
        profile: TargetProfile = redis70
    ) throws -> RewriteOutcome {
        var rewriter = JournalRewriter(profile: profile, source: source)
        let batch = CommandBatch()
        let outcome = try rewriter.rewrite(arguments, transactionID: transactionID, into: batch)
        if !batch.isEmpty {
            let sent = try send(batch)
            if sent != .applied([]) {
                throw LabError("\(arguments.map { String(decoding: $0, as: UTF8.self) }): \(sent)")
            }
        }
        return outcome
    }

    // MARK: Looking

    /// Reads everything of a key that a comparison of servers looks at.
    func entry(_ key: String) throws -> ServerData.Entry? { try DataReader(client).read([Array(key.utf8)])[0] }

    func text(_ words: String...) throws -> String? { try client.command(words).text }

    func integer(_ words: String...) throws -> Int? { try client.command(words).int.map { Int($0) } }

    func list(_ words: String...) throws -> [String] {
        (try client.command(words).array ?? []).map { $0.text ?? "nil" }
    }

    func dump(_ key: String) throws -> [UInt8] { try #require(try client.command("DUMP", key).bytes) }
}

extension JournalRewriter {
    /// Rewrites a record from its encoded form, as a flow carries it.
    mutating func rewrite(
        _ arguments: [[UInt8]], transactionID: UInt64 = 0, database: UInt32 = 0, now: Int64 = TargetUnderTest.now,
        into batch: CommandBatch
    ) throws -> RewriteOutcome {
        var buffer = ByteBuffer()
        buffer.append(journalCommand: arguments, transactionID: transactionID)
        var reader = ByteReader(buffer.bytes)
        guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 1 << 30) else {
            throw LabError("the record is no command")
        }
        return rewrite(command, database: database, now: now, into: batch)
    }
}

extension CommandBatch {
    /// The commands between MULTI and EXEC, each as its words joined by spaces.
    func lines() throws -> [String] {
        var result: [String] = []
        let copy = bytes.withUnsafeBytes { Array($0) }
        var reader = ByteReader(copy.span.bytes)
        while let value = try reader.readRESPValue() {
            result.append((value.array ?? []).map { $0.text ?? "?" }.joined(separator: " "))
        }
        return result.filter { $0 != "MULTI" && $0 != "EXEC" }
    }
}

func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

extension SourceBehaviour {
    static let v136 = SourceBehaviour(version: SourceVersion(1, 36, 0))
    static let v137 = SourceBehaviour(version: SourceVersion(1, 37, 0))
    static let v140 = SourceBehaviour(version: SourceVersion(1, 40, 1))
}
