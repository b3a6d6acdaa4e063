import Testing
import Wire

@testable import Redis

@Suite struct `The replies to a transaction` {
    private func batch(_ lines: String..., isSealed: Bool = true) -> CommandBatch {
        let batch = CommandBatch()
        for line in lines { batch.append(line.split(separator: " ").map { Array($0.utf8) }) }
        if isSealed { batch.seal(checkpoint: nil) }
        return batch
    }

    /// Reads `text` as it arrives in pieces of `size` bytes.
    private func outcome(of text: String, to batch: CommandBatch, inPiecesOf size: Int) throws -> BatchOutcome? {
        var replies = TransactionReplies()
        replies.begin()
        var received: [UInt8] = []
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            received += bytes[start..<min(start + size, bytes.count)]
            var reader = ByteReader(received.span.bytes)
            loop: while true {
                switch try replies.read(&reader, to: batch) {
                case .incomplete: break loop
                case .begun: continue
                case .ended(let outcome):
                    #expect(reader.remaining == 0)
                    return outcome
                }
            }
            received.removeFirst(reader.offset)
        }
        return nil
    }

    private func outcome(of text: String, to batch: CommandBatch) throws -> BatchOutcome? {
        let whole = try outcome(of: text, to: batch, inPiecesOf: text.utf8.count)
        for size in 1..<text.utf8.count {
            #expect(try outcome(of: text, to: batch, inPiecesOf: size) == whole, "in pieces of \(size) bytes")
        }
        return whole
    }

    @Test func `report the errors among EXEC's elements`() throws {
        let batch = batch("SET a 1", "LPUSH a x", "INCR n", "SET b 2")
        let text = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n+OK\r\n-WRONGTYPE no\r\n:7\r\n+OK\r\n"
        #expect(
            try outcome(of: text, to: batch) == .applied([.init(command: 1, kind: .error("WRONGTYPE no"))]))
    }

    @Test func `put a JSON calculation in doubt if its result is negative or too precise for a double`() throws {
        let batch = CommandBatch()
        var profile = TargetUnderTest.redis70
        profile.hasJSON = true
        var rewriter = JournalRewriter(profile: profile, source: .v136)
        let results = [
            "7", "-7", "[999999999999999]", "[1,-1]", "9007199254740993", "[null]",
            "[1\(String(repeating: ",1", count: 30))]",
        ]
        for _ in results {
            let command = ["JSON.NUMINCRBY", "k", "$.a", "1"].map { Array($0.utf8) }
            #expect(try rewriter.rewrite(command, into: batch) == .written)
        }
        // Text with such a number in answer to another command means nothing.
        batch.append(["GET", "k"].map { Array($0.utf8) })
        batch.seal(checkpoint: nil)
        let replies = (results + ["-1"]).map { "$\($0.utf8.count)\r\n\($0)\r\n" }
        let text =
            "+OK\r\n" + String(repeating: "+QUEUED\r\n", count: replies.count) + "*\(replies.count)\r\n"
            + replies.joined()
        let unexpected = [1, 3, 4, 6].map {
            UnexpectedReply(command: $0, kind: .inDoubt(ReplyDoubt(.jsonModules, command: "JSON.NUMINCRBY")))
        }
        #expect(try outcome(of: text, to: batch) == .applied(unexpected))
    }

    @Test func `report a command that is not queued`() throws {
        let text = "+OK\r\n+QUEUED\r\n-ERR unknown command\r\n-EXECABORT because of previous errors\r\n"
        #expect(
            try outcome(of: text, to: batch("SET a 1", "NO a"))
                == .refused([.init(command: 1, kind: .error("ERR unknown command"))]))
    }

    @Test func `reject the batch if MULTI is refused`() throws {
        let text = "-NOPERM no multi\r\n+OK\r\n-ERR no\r\n-ERR EXEC without MULTI\r\n"
        #expect(try outcome(of: text, to: batch("SET a 1", "NO a")) == .rejected("NOPERM no multi"))
    }

    @Test func `reject the batch if EXEC itself is refused`() throws {
        let text = "+OK\r\n+QUEUED\r\n-OOM command not allowed\r\n"
        #expect(try outcome(of: text, to: batch("SET a 1")) == .rejected("OOM command not allowed"))
    }

    @Test func `report nulls, zeros and empty arrays if the batch asks for them`() throws {
        let batch = batch("SET a 1 NX", "RENAMENX a b", "XCLAIM s g c 0 1-1")
        let text = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n$-1\r\n:0\r\n*0\r\n"
        #expect(try outcome(of: text, to: batch) == .applied([]))
        (batch.reportsConflicts, batch.reportsEmptyReplies) = (true, true)
        #expect(
            try outcome(of: text, to: batch)
                == .applied([
                    .init(command: 0, kind: .null), .init(command: 1, kind: .zero), .init(command: 2, kind: .empty),
                ]))
    }

    @Test(arguments: [
        ("+OK\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n", "the target answered 2 of 1 commands of a transaction"),
        ("+OK\r\n+QUEUED\r\n*-1\r\n", "the target dropped a transaction"),
        ("+OK\r\n+QUEUED\r\n+OK\r\n", "EXEC was not answered by an array"),
    ])
    func `are a protocol violation if no server would send them`(_ text: String, _ message: String) throws {
        let error = try #require(throws: TargetError.self) { try outcome(of: text, to: batch("SET a 1")) }
        #expect(error.code == .protocolViolation && error.message == message)
    }

    @Test func `may be an error about a command that is still being written, or an unrequested one`() throws {
        var replies = TransactionReplies()
        let bytes = Array("+OK\r\n-ERR Protocol error: invalid bulk length\r\n".utf8)
        var reader = ByteReader(bytes.span.bytes)
        replies.begin()
        let growing = batch(isSealed: false)
        #expect(try replies.read(&reader, to: growing) == .begun)
        #expect(try replies.read(&reader, to: growing) == .incomplete)
        #expect(replies.lastError == "ERR Protocol error: invalid bulk length")

        let more = Array("-ERR max number of clients reached\r\n+OK\r\n".utf8)
        reader = ByteReader(more.span.bytes)
        #expect(try replies.readUnasked(&reader))
        #expect(replies.lastError == "ERR max number of clients reached")
        #expect(throws: TargetError.self) { try replies.readUnasked(&reader) }
    }

    @Test func `are never awaited with more bytes than will arrive`() throws {
        let batch = batch("SET a 1", "SET b 2")
        let parts = ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n", "+OK\r\n", "+OK\r\n"]
        var replies = TransactionReplies()
        replies.begin()
        for (index, part) in parts.enumerated() {
            let rest = parts[index...].joined().utf8.count
            #expect((1...rest).contains(replies.leastBytes(of: batch)))
            let bytes = Array(part.utf8)
            var reader = ByteReader(bytes.span.bytes)
            _ = try replies.read(&reader, to: batch)
        }
        #expect(replies.leastBytes(of: batch) == 0)
    }
}
