import Lab
import Link
import Testing
import Wire

@testable import Dragonfly

/// Against a Redis, which answers all questions as a Dragonfly does but for `FIELDTTL`, which it lacks.
@Suite struct `A value that is read in pieces` {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// All pieces of a value, which `fill` makes at "k" of database 2.
    private func pieces(
        _ kind: PieceReader.Kind, afterFirst change: (RESPClient) throws -> Void = { _ in },
        _ fill: (RESPClient) throws -> Void
    ) async throws -> (pieces: [ValuePiece], last: PieceReader.Step) {
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        try client.command("SELECT", "2")
        try fill(client)
        let replicationID = try client.info("replication", "master_replid") ?? ""
        let reader = ValueReader(
            settings: SourceSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientID: "test", displayName: "test"),
            replicationID: replicationID, flowCount: 1, socketStore: NoSocketStore())
        var value = PieceReader(kind, database: 2, key: bytes("k"), reader: reader)
        var pieces: [ValuePiece] = []
        var step = try await value.next()
        while case .piece(let piece) = step {
            pieces.append(piece)
            if pieces.count == 1 { try change(client) }
            step = try await value.next()
        }
        await reader.close()
        return (pieces, step)
    }

    @Test func `returns the whole of a string, in order`() async throws {
        let text = String(repeating: "0123456789abcdef", count: 200_000)
        let (pieces, last) = try await pieces(.string) { try $0.command("SET", "k", text) }
        #expect(last == .end)
        #expect(pieces.count == 4)
        #expect(pieces.flatMap { if case .string(let bytes) = $0 { bytes } else { [UInt8]() } } == bytes(text))
    }

    @Test func `returns the whole of a list, in pieces of bounded size`() async throws {
        let elements = (0..<20_000).map { "element \($0)" }
        let (pieces, last) = try await pieces(.list) { try $0.command(["RPUSH", "k"] + elements) }
        #expect(last == .end)
        let lists = pieces.map { if case .list(let elements) = $0 { elements } else { [[UInt8]]() } }
        #expect(lists.flatMap(\.self) == elements.map(bytes))
        #expect(lists.allSatisfy { $0.reduce(0) { $0 + $1.count } <= PieceReader.pieceBytes })
        #expect(lists.count > 8)
    }

    @Test func `has fewer elements per piece if elements are large`() async throws {
        let element = String(repeating: "x", count: 100_000)
        let (pieces, _) = try await pieces(.list) { client in
            for _ in 0..<200 { try client.command("RPUSH", "k", element) }
        }
        let counts = pieces.map { if case .list(let elements) = $0 { elements.count } else { 0 } }
        #expect(counts.reduce(0, +) == 200)
        #expect(counts.dropFirst().allSatisfy { $0 <= 2 })
    }

    @Test func `returns the whole of a sorted set, with exact scores`() async throws {
        let scores = (0..<3000).map { Double($0) / 7 } + [.infinity, -.infinity, 1e300, .leastNonzeroMagnitude]
        let (pieces, last) = try await pieces(.zset) { client in
            try client.command(["ZADD", "k"] + scores.enumerated().flatMap { ["\($0.element)", "m\($0.offset)"] })
        }
        #expect(last == .end)
        var found: [[UInt8]: Double] = [:]
        for case .zset(let members) in pieces {
            for member in members { found[member.name] = Double(String(decoding: member.score, as: UTF8.self)) }
        }
        #expect(found.count == scores.count)
        #expect(scores.enumerated().allSatisfy { found[bytes("m\($0.offset)")] == $0.element })
    }

    @Test func `returns the whole of a stream, with its consumer groups`() async throws {
        let (pieces, last) = try await pieces(.stream) { client in
            for number in 1...3000 { try client.command("XADD", "k", "\(number)-1", "f", "v\(number)") }
            try client.command("XGROUP", "CREATE", "k", "g", "0")
            try client.command("XGROUP", "CREATE", "k", "empty", "$")
            try client.command("XREADGROUP", "GROUP", "g", "c", "COUNT", "2500", "STREAMS", "k", ">")
            try client.command("XDEL", "k", "3000-1")
        }
        #expect(last == .end)
        var (entries, pending, names) = (0, [ValuePiece.Pending](), [String]())
        for piece in pieces {
            switch piece {
            case .entries(let some): entries += some.count
            case .position(let position):
                #expect(position == .init(lastID: bytes("3000-1"), entriesAdded: 3000, maxDeletedID: bytes("3000-1")))
            case .group(let name, _, _): names.append("group " + String(decoding: name, as: UTF8.self))
            case .consumer(_, let name): names.append("consumer " + String(decoding: name, as: UTF8.self))
            case .pending(let group, let some):
                #expect(group == bytes("g"))
                pending += some
            default: Issue.record("not of a stream: \(piece)")
            }
        }
        #expect(entries == 2999)
        #expect(pending.count == 2500)
        #expect(
            pending.allSatisfy { $0.consumer == bytes("c") && $0.deliveries == 1 && $0.deliveredAt > 1_600_000_000_000 }
        )
        #expect(names.sorted() == ["consumer c", "group empty", "group g"])
    }

    @Test func `is reported as changed if its key has another type or is missing`() async throws {
        let elements = (0..<20_000).map { "element \($0)" }
        func fill(_ client: RESPClient) throws { try client.command(["RPUSH", "k"] + elements) }
        let other = try await pieces(.list, afterFirst: { try $0.command("SET", "k", "v") }, fill)
        #expect(other.last == .changed)
        let none = try await pieces(.list) { _ in }
        #expect(none.last == .changed)
    }
}
