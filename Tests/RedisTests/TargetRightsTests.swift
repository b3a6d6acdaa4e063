import Lab
import Link
import Redis
import Testing
import Wire

/// Users of a real server, and what is found out about them before anything is written.
@Suite struct `What a target allows` {
    private func rights(_ rules: [String], server: [String] = []) async throws -> (TargetRights, String?, keys: Int64?)
    {
        let redis = try RedisServer(server)
        defer { redis.stop() }
        let client = try redis.client()
        try client.command(["ACL", "SETUSER", "app", "on", ">secret", "&*"] + rules)
        let settings = TargetSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: redis.port), user: "app", password: "secret",
            clientName: "df2redis:test")
        let control = TargetControl(connector: TargetConnector(settings: settings))
        let rights = try await control.rights(ownKey: "df2redis:checkpoint:test:owner")
        await control.close()
        var refusal: String?
        do throws(TargetError) { try rights.demandNeeded(user: "app", ownKeys: ["df2redis:"]) } catch {
            #expect(error.code == .permission)
            refusal = error.message
        }
        return (rights, refusal, try client.command("DBSIZE").int)
    }

    @Test func `is everything for a user with all rights, and nothing is written to find that out`() async throws {
        let (rights, refusal, keys) = try await rights(["~*", "+@all"])
        #expect(rights == TargetRights())
        #expect(refusal == nil)
        #expect(rights.losses == [])
        #expect(keys == 0)
    }

    @Test func `is enough without the categories that managed services forbid, and what is lost is said`() async throws
    {
        let (rights, refusal, _) = try await rights(["~*", "+@all", "-@admin", "-@dangerous", "+info"])
        #expect(refusal == nil)
        #expect(
            rights.missing == [
                "RESTORE", "CLIENT LIST", "CLIENT KILL", "CONFIG GET", "FLUSHALL", "FLUSHDB", "SORT",
            ])
        #expect(!rights.canEvict)
        #expect(!rights.canFlush)
        #expect(rights.losses.count == 5)
        #expect(rights.losses.first?.hasPrefix("the target does not allow RESTORE to this user: ") == true)
    }

    @Test func `lacks scripts where they are forbidden`() async throws {
        let (rights, refusal, _) = try await rights(["~*", "+@all", "-@scripting"])
        #expect(rights.missing == ["EVAL", "SCRIPT LOAD"])
        #expect(refusal == nil)
    }

    @Test func `names the rules to add when a task cannot run`() async throws {
        let (rights, refusal, keys) = try await rights(["~app:*", "+@all", "-set", "-xgroup|create", "-geoadd"])
        #expect(rights.missing == ["SET", "XGROUP CREATE", "GEOADD"])
        #expect(
            refusal?.contains(
                "may not use GEOADD, SET, XGROUP CREATE and may not write df2redis' own keys: nothing has been written. "
                    + "On the target: ACL SETUSER app +geoadd +set +xgroup|create ~df2redis:*") == true)
        #expect(keys == 0)
    }

    @Test func `may be some keys only, which is said`() async throws {
        let (rights, refusal, _) = try await rights(["~app:*", "~df2redis:*", "+@all"])
        #expect(refusal == nil)
        #expect(rights.lacksSomeKeys)
        #expect(rights.losses.count == 1)
    }

    @Test func `does not include what the server's operator has renamed`() async throws {
        let (rights, refusal, _) = try await rights(
            ["~*", "+@all"],
            server: [
                "--rename-command", "RESTORE", "", "--rename-command", "CONFIG", "", "--rename-command", "SETBIT", "",
            ])
        #expect(rights.missing == ["RESTORE", "CONFIG GET", "SETBIT"])
        #expect(refusal?.contains("may not use SETBIT") == true)
    }
}
