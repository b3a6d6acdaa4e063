import Lab
import Link
import Testing

@testable import Redis

@Suite struct `A survey of a target's databases` {
    @Test func `counts the keys of listed databases, and notices keys in another one`()
        async throws
    {
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        for (database, keys) in [("0", ["a", "b", "df2redis:tasks"]), ("2", ["c"])] {
            try client.command("SELECT", database)
            for key in keys { try client.command("SET", key, "v") }
        }
        let settings = TargetSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "df2redis:test")
        let control = TargetControl(connector: TargetConnector(settings: settings))
        // When they were listed, database 2 was empty.
        let survey = try #require(
            try await DatabaseSurvey(of: [0], task: "test", excluding: ReservedKeys(checkpoint: "k"), on: control))
        await control.close()
        #expect(survey.keyCount(0) == 2)
        #expect(survey.keyCount(2) == nil, "it is to be counted")
        #expect(survey.keyCount(3) == 0)
    }
}
