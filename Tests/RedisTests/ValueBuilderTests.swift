import Lab
import Link
import Redis
import Testing
import Wire

@Suite struct `A value that is built piece by piece` {
    private static let key = Array("k".utf8)

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func withBuilder(
        _ body: (ValueBuilder, ValueBuilder.Names, RESPClient) async throws -> Void
    ) async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let settings = TargetSettings(endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "test")
        let builder = ValueBuilder(
            connector: TargetConnector(settings: settings), task: "test", clock: { 4_000_000_000_000 })
        let names = await builder.names(for: Self.key, in: 3)
        try await builder.begin(names, for: Self.key, .init(nil, hasNativeFields: false))
        let client = try redis.client()
        try client.command("SELECT", "3")
        try await body(builder, names, client)
        await builder.close()
    }

    @Test func `is complete under a name of df2redis, and is removed without a trace`() async throws {
        try await withBuilder { builder, names, client in
            try await builder.append(.list([bytes("a"), bytes("b")]))
            try await builder.append(.list([bytes("c")]))
            #expect(try client.command("EXISTS", "df2redis:value:test:whole").int == 0)
            #expect(try client.command("PTTL", "df2redis:value:test:part").int ?? 0 > 0, "it ends by itself")
            let value = try await builder.finish()
            #expect(value.name == bytes("df2redis:value:test:whole"))
            #expect(BuiltValue.isName(value.name))
            #expect(
                try client.command("LRANGE", "df2redis:value:test:whole", "0", "-1").array?.map(\.text) == [
                    "a", "b", "c",
                ])
            try await builder.remove(names)
            #expect(try client.command("DBSIZE").int == 0)
        }
    }

    @Test func `may be a stream with groups, consumers and pending entries`() async throws {
        try await withBuilder { builder, _, client in
            let pending = ValuePiece.Pending(id: bytes("1-1"), consumer: bytes("c"), deliveredAt: 1000, deliveries: 4)
            let lost = ValuePiece.Pending(id: bytes("1-2"), consumer: bytes("c"), deliveredAt: 1000, deliveries: 1)
            let pieces: [ValuePiece] = [
                .entries([
                    .init(bytes("1-1"), [bytes("f"), bytes("v")]), .init(bytes("2-1"), [bytes("f"), bytes("w")]),
                ]),
                .position(.init(lastID: bytes("9-1"), entriesAdded: 5, maxDeletedID: bytes("8-1"))),
                .group(name: bytes("g"), lastID: bytes("1-1"), entriesRead: 1),
                .consumer(group: bytes("g"), name: bytes("c")), .consumer(group: bytes("g"), name: bytes("idle")),
                .pending(group: bytes("g"), [pending, lost]),
            ]
            for piece in pieces { try await builder.append(piece) }
            let value = try await builder.finish()
            #expect(value.lostPendingEntries == 1, "its entry is deleted")
            let name = "df2redis:value:test:whole"
            #expect(try client.command("XLEN", name).int == 2)
            let entries = try client.command("XPENDING", name, "g", "-", "+", "9").array
            #expect(entries?.count == 1)
            #expect(entries?.first?.array?.last?.int == 4)
            #expect(try client.command("XINFO", "CONSUMERS", name, "g").array?.count == 2)
        }
    }

    @Test func `may be a stream without entries`() async throws {
        try await withBuilder { builder, _, client in
            try await builder.append(
                .position(.init(lastID: bytes("9-1"), entriesAdded: 5, maxDeletedID: bytes("9-1"))))
            _ = try await builder.finish()
            #expect(try client.command("XLEN", "df2redis:value:test:whole").int == 0)
            #expect(try client.command("TYPE", "df2redis:value:test:whole").text == "stream")
        }
    }

    @Test(arguments: [
        ValuePiece.string([1, 2]), .list([[1]]), .set([.init([1])]), .hash([.init([1], [2])]),
        .zset([.init([1], score: Array("1.5".utf8))]),
    ]) func `is given up if the target has lost a piece`(_ piece: ValuePiece) async throws {
        try await withBuilder { builder, _, client in
            try await builder.append(piece)
            try client.command("DEL", "df2redis:value:test:part")
            await #expect(throws: ValueBuilder.Torn.self) { try await builder.append(piece) }
        }
    }

    @Test func `is given up if it has no piece`() async throws {
        try await withBuilder { builder, _, _ in
            await #expect(throws: ValueBuilder.Torn.self) { _ = try await builder.finish() }
        }
    }

    @Test func `replaces its key without UNLINK if it may be published twice`() {
        let batch = CommandBatch()
        let value = BuiltValue(name: bytes("df2redis:value:test:whole"))
        batch.publish(value, as: Self.key.span.bytes, until: 77, nil, mayRepeat: true)
        #expect((0..<2).map { batch.label(ofCommand: $0).name } == ["RENAME", "PEXPIREAT"])
    }

    @Test func `replaces its key, with or without a TTL, by commands of one transaction`() throws {
        let batch = CommandBatch()
        let name = bytes("df2redis:value:test:whole")
        batch.publish(BuiltValue(name: name), as: Self.key.span.bytes, until: 77, nil, mayRepeat: false)
        batch.publish(BuiltValue(name: name), as: Self.key.span.bytes, until: nil, nil, mayRepeat: false)
        #expect(
            (0..<6).map { batch.label(ofCommand: $0).name } == [
                "UNLINK", "RENAME", "PEXPIREAT", "UNLINK", "RENAME", "PERSIST",
            ])
    }

    @Test func `is remembered by database and slot`() async throws {
        try await withBuilder { _, names, _ in
            #expect(ValueBuilder.Names(names.text, task: "test") == names)
            #expect(ValueBuilder.Names("3 16384", task: "test") == nil)
            #expect(ValueBuilder.Names("x", task: "test") == nil)
        }
    }
}
