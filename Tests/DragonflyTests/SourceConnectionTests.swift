import Lab
import Link
import Testing
import Wire

@testable import Dragonfly

/// Against a Redis, which answers these questions as a Dragonfly does.
@Suite struct `An ordinary connection to the source` {
    private func settings(_ redis: RedisServer, password: String? = nil) -> SourceSettings {
        var settings = SourceSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientID: "test", displayName: "test")
        settings.password = password
        return settings
    }

    private func failure(_ body: () async throws -> Void) async throws -> SourceError {
        do { try await body() } catch let error as SourceError { return error }
        throw LabError("it was answered")
    }

    @Test func `is not used after a refused login`() async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        try redis.client().command("CONFIG", "SET", "requirepass", "right")
        let inspector = SourceInspector(settings: settings(redis, password: "wrong"), socketStore: NoSocketStore())
        for _ in 0..<2 {
            let error = try await failure { _ = try await inspector.keyCount() }
            #expect(error.code == .permission)
            #expect(error.message.contains("WRONGPASS"), "\(error)")
        }
        await inspector.close()
        let other = SourceInspector(settings: settings(redis, password: "right"), socketStore: NoSocketStore())
        #expect(try await other.keyCount() == 0)
        await other.close()
    }

    @Test func `is not used if its master is another one than the session's`() async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let reader = ValueReader(
            settings: settings(redis), replicationID: "another", flowCount: 1, socketStore: NoSocketStore())
        for _ in 0..<2 {
            let error = try await failure { _ = try await reader.sizes(of: [(0, [UInt8]("k".utf8))]) }
            #expect(error.code == .notReady)
        }
        await reader.close()
    }

    @Test func `is kept in systemd's store from its first use until it is closed`() async throws {
        final class Keeper: SocketStore {
            let events = Lock<[String]>([])
            func keep(_ descriptor: Int32, name: String) { events.withLock { $0.append("keep \(name)") } }
            func release(name: String) { events.withLock { $0.append("release \(name)") } }
        }
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        try client.command("SELECT", "3")
        try client.command("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
        let keeper = Keeper()
        let walk = StreamWalk(settings: settings(redis), socketStore: keeper)
        var place = StreamWalk.Place()
        var found: [UInt32] = []
        while let step = try await walk.step(place) {
            found += step.found.map(\.database)
            place = step.place
        }
        #expect(found == [3])
        #expect(keeper.events.withLock { $0 } == ["keep streams"])
        await walk.close()
        #expect(keeper.events.withLock { $0 } == ["keep streams", "release streams"])
    }
}
