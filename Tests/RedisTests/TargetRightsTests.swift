import Base
import Lab
import Link
import Redis
import Testing
import Wire

/// Users of a real server, and what is found out about them before anything is written.
@Suite struct `The rights of a target's user` {
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
        do throws(TargetError) { try rights.requireNeeded(user: "app", ownKeys: ["df2redis:"]) } catch {
            #expect(error.code == .permission)
            refusal = error.message
        }
        return (rights, refusal, try client.command("DBSIZE").int)
    }

    @Test func `are complete for a user with all commands and keys, and are found out without writing`() async throws {
        let (rights, refusal, keys) = try await rights(["~*", "+@all"])
        #expect(rights == TargetRights())
        #expect(refusal == nil)
        #expect(rights.losses == [])
        #expect(keys == 0)
    }

    @Test func `suffice without the categories that managed services forbid, with the losses named`() async throws {
        let (rights, refusal, _) = try await rights(["~*", "+@all", "-@admin", "-@dangerous", "+info"])
        #expect(refusal == nil)
        #expect(
            rights.missing == [
                "RESTORE", "CLIENT LIST", "CLIENT KILL", "CONFIG GET", "FLUSHALL", "FLUSHDB", "SORT",
            ])
        #expect(!rights.canFlush)
        #expect(rights.losses.count == 5)
        #expect(rights.losses.first?.hasPrefix("the target does not allow RESTORE to this user: ") == true)
    }

    @Test func `lack scripts if these are forbidden`() async throws {
        let (rights, refusal, _) = try await rights(["~*", "+@all", "-@scripting"])
        #expect(rights.missing == ["EVAL", "SCRIPT LOAD"])
        #expect(refusal == nil)
    }

    @Test func `are reported with the ACL rules to add if a task cannot run with them`() async throws {
        let (rights, refusal, keys) = try await rights(["~app:*", "+@all", "-set", "-xgroup|create", "-geoadd"])
        #expect(rights.missing == ["SET", "XGROUP CREATE", "GEOADD"])
        #expect(
            refusal?.contains(
                "may not use GEOADD, SET, XGROUP CREATE and may not write df2redis' own keys: nothing has been written. "
                    + "On the target: ACL SETUSER app +geoadd +set +xgroup|create ~df2redis:*") == true)
        #expect(keys == 0)
    }

    @Test func `may be limited to some keys, which is reported as a loss`() async throws {
        let (rights, refusal, _) = try await rights(["~app:*", "~df2redis:*", "+@all"])
        #expect(refusal == nil)
        #expect(rights.lacksSomeKeys)
        #expect(rights.losses.count == 1)
    }

    @Test func `lack commands that the server's operator has renamed`() async throws {
        let (rights, refusal, _) = try await rights(
            ["~*", "+@all"],
            server: [
                "--rename-command", "RESTORE", "", "--rename-command", "CONFIG", "", "--rename-command", "SETBIT", "",
            ])
        #expect(rights.missing == ["RESTORE", "CONFIG GET", "SETBIT"])
        #expect(refusal?.contains("may not use SETBIT") == true)
    }
}

/// What a refusal says about the right to add.
@Suite struct `A right that is missing` {
    @Test(arguments: [
        ("a request", "NOPERM this user has no permissions to run the 'restore' command", "+restore"),
        ("the mark of h:1", "NOPERM User app has no permissions to run the 'hset' command", "+hset"),
        ("CONFIG GET", "NOPERM User app has no permissions to run the 'config|get' command", "+config|get"),
        ("CLUSTER SLOTS", "NOPERM no", "+cluster|slots"),
        ("a request", "NOPERM no", "what this needs"),
        ("SET", "NOPERM No permissions to access a key", "~<pattern> of this key"),
    ])
    func `is named with the rule to add`(_ step: String, _ text: String, _ rule: String) {
        let error = TargetError.reply(text, to: step)
        #expect(error.code == .permission)
        #expect(error.message == "the target's ACL forbids \(step): add \(rule) to the user (\(text))")
    }

    @Test func `may be the right for a command that a script calls`() {
        let text = "ERR The user executing the script can't run this command or subcommand script: ab"
        let batch = CommandBatch()
        batch.append(
            ["EVAL", "if redis.call('GET',KEYS[1]) then redis.call('SET',KEYS[1],'x') end", "1", "k"].map {
                Array($0.utf8)
            })
        let calls = SentCommand(0, of: batch).calls
        #expect(calls == ["GET", "SET"])
        #expect(TargetError.forbidden("EVAL", text, calls: calls).message.contains("add what it lacks of +get +set to"))
        #expect(TargetError.reply(text, to: "EVAL").code == .permission)
    }
}

/// Such a server is recognised by sending it commands, which must not harm it.
@Suite struct `A server that is no target` {
    /// Answers as a server that leaves a transaction at the first command it refuses, and runs the next ones.
    private struct Answers {
        let info: String
        private var isInTransaction = false

        init(info: String) { self.info = info }

        mutating func answer(_ name: String) -> String {
            switch name {
            case "HELLO", "CLIENT": return "+OK\r\n"
            case "MULTI":
                isInTransaction = true
                return "+OK\r\n"
            case "DF2REDIS.UNKNOWN":
                isInTransaction = false
                return "-ERR unknown command `DF2REDIS.UNKNOWN`\r\n"
            case "INFO" where !isInTransaction: return "$\(info.utf8.count)\r\n\(info)\r\n"
            default: return isInTransaction ? "+QUEUED\r\n" : ":0\r\n"
            }
        }
    }

    @Test(arguments: ["redis_version:7.4.0\r\ndragonfly_version:df-v1.36.0\r\n", "redis_version:7.4.0\r\n"])
    func `gets no command that would do harm if it ran`(_ info: String) async throws {
        let names = Lock<[String]>([])
        let server = try ScriptedServer { connection in
            var answers = Answers(info: info)
            var buffer: [UInt8] = []
            while true {
                let received = connection.receive()
                if received.isEmpty { return }
                buffer += received.utf8
                var consumed = 0
                do {
                    var reader = ByteReader(buffer.span.bytes)
                    while let request = try? reader.readRESPValue(), let name = request.array?.first?.text {
                        consumed = reader.offset
                        names.withLock { $0.append(name) }
                        connection.send(answers.answer(name))
                    }
                }
                buffer.removeFirst(consumed)
            }
        }
        let settings = TargetSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: server.port), clientName: "df2redis:test")
        let control = TargetControl(connector: TargetConnector(settings: settings))
        await #expect {
            try await control.rights(ownKey: "df2redis:checkpoint:test:owner")
        } throws: {
            ($0 as? TargetError)?.code == .unsuitable
        }
        await control.close()
        let asked = Set(names.withLock { $0 })
        #expect(asked.contains("DF2REDIS.UNKNOWN"))
        #expect(
            asked.isSubset(of: [
                "HELLO", "CLIENT", "INFO", "MULTI", "DF2REDIS.UNKNOWN", "DBSIZE", "SCAN", "EXISTS", "GET",
            ]),
            "\(asked)")
    }
}
