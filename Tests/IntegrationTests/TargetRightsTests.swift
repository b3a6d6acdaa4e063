import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// Targets as managed services offer them: users with fewer rights than a task might use.
@Suite(.serialized) struct `A target user of few rights` {
    /// A task whose target user has these rules.
    private final class Scene: TaskScene<RedisServer> {
        init(_ rules: [String]) throws {
            try super.init(
                from: startedMaster(), into: RedisServer(), ["target": ["username: app", "password: secret"]])
            try client.command(["ACL", "SETUSER", "app", "on", ">secret", "&*"] + rules)
        }

        /// Values of every type, one of them large and one long.
        func fill(_ prefix: String = "", database: Int = 0) {
            let numbers = (0..<2000).map { "\($0)" }.joined(separator: " ")
            for line in [
                "SET #s v", "SET #t v PX 3600000", "RPUSH #l a b c", "SADD #set a b", "SADD #ints 1 2 3",
                "HSET #h f v g w",
                "ZADD #z 1.5 m 2 n", "XADD #x 1-1 f v", "XADD #x 2-1 g w",
                "SET #big \(String(repeating: "x", count: 200_000))", "RPUSH #long \(numbers)",
            ] {
                let reply = master.execute(line.replacing("#", with: prefix), database: database)
                if case .error(let text) = reply { Issue.record("\(line): \(text)") }
            }
        }
    }

    @Test(arguments: [
        ["+@all", "-@admin", "-@dangerous", "+info"],
        ["+@all", "-@scripting"],
        ["+@all", "-@admin", "-@dangerous", "-@scripting", "+info"],
        ["+@all", "-config", "-client|list", "-client|kill", "-script", "-flushall", "-flushdb"],
    ]) func `suffices, since the task uses other commands`(_ rules: [String]) throws {
        let scene = try Scene(["~*"] + rules)
        scene.fill()
        scene.fill("third:", database: 3)
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable: following")
        #expect(daemon.logs("the target does not allow "))
        try scene.waitUntilEqual()
        scene.fill("later:")
        for line in ["RENAME later:s renamed", "HINCRBYFLOAT later:h float 1.5", "COPY later:l copied", "DEL h"] {
            scene.master.execute(line)
        }
        try scene.waitUntilEqual()
        scene.master.execute("FLUSHDB", database: 3)
        try daemon.wait(forLine: "FLUSHDB (database 3) applied")
        scene.master.execute("FLUSHALL")
        try daemon.wait(forLine: "FLUSHALL applied")
        scene.fill("last:")
        try scene.waitUntilEqual()
        try daemon.leave()

        scene.master.execute("DEL last:s")
        scene.master.forgetBacklog()
        let next = try scene.start()
        try next.wait(forLine: "reconciled: 1 key removed")
        try scene.waitUntilEqual()
        try next.leave()
        #expect(scene.master.violations == [])
    }

    /// As the README names them.
    @Test func `has all that the task needs with the rules of the README`() throws {
        let rules = "~* -@all +@read +@write +@connection +@transaction +@scripting +info +config|get"
        let scene = try Scene(rules.split(separator: " ").map(String.init))
        scene.fill()
        scene.fill("third:", database: 3)
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable: following")
        scene.fill("later:")
        for line in ["RENAME later:s renamed", "HINCRBYFLOAT later:h float 1.5", "DEL h"] { scene.master.execute(line) }
        scene.master.send(journal: [JournalEntry("SADDEX expiring 3600 m"), JournalEntry("PREPEND pre x")], flow: 0)
        try wait(until: "it is applied") { try scene.client.command("GET", "pre").text == "x" }
        scene.master.execute("FLUSHALL")
        try daemon.wait(forLine: "FLUSHALL applied")
        scene.fill("last:")
        try scene.waitUntilEqual()
        try daemon.leave()
        #expect(!daemon.log.contains("does not allow"))
        #expect(daemon.deadLetters == [])
    }

    @Test(arguments: [
        (["~*", "+@all", "-set"], "may not use SET: nothing has been written. On the target: ACL SETUSER app +set"),
        (
            ["~app:*", "+@all"],
            "may not write df2redis' own keys: nothing has been written. On the target: ACL SETUSER app ~df2redis:*"
        ),
    ]) func `is refused before anything is written, with the rule to add`(_ rules: [String], _ text: String) throws {
        let scene = try Scene(rules)
        scene.fill()
        let daemon = try scene.start()
        try daemon.expectExit(77)
        #expect(daemon.logs(text))
        #expect(try scene.client.command("DBSIZE").int == 0)
        #expect(scene.master.sessionsStarted == 0, "the source is not even asked")
    }

    @Test(arguments: ["stop", "skip"])
    func `that is limited to some keys ends the task at another key, where the next start resumes`(
        _ reaction: String
    ) throws {
        let scene = try Scene(["~app:*", "~df2redis:*", "+@all"])
        let policy = ["policy": ["onError: \(reaction)", "onUnsupported: \(reaction)"]]
        scene.master.execute("SET app:1 v")
        let daemon = try scene.start(sections: policy)
        try daemon.wait(forLine: "stable: following")
        #expect(daemon.logs("the target's ACL limits this user to some keys"))
        scene.master.execute("SET app:2 v")
        try scene.waitUntilEqual()
        scene.master.execute("INCR other")
        scene.master.execute("INCR app:n")
        try daemon.expectExit(77)
        #expect(daemon.logs(#"the target's ACL forbids INCR "other": add ~<pattern> of this key to the user"#))
        #expect(daemon.deadLetters == [], "nothing is given up")

        try scene.client.command("ACL", "SETUSER", "app", "~*")
        let next = try scene.start(sections: policy)
        try next.wait(forLine: "resuming at the checkpoint")
        try scene.waitUntilEqual()
        #expect(try scene.client.command("GET", "other").text == "1")
        #expect(scene.master.fullSyncs == 1)
        try next.leave()
    }

    @Test func `that may not load scripts still gets the commands around a script applied once`() throws {
        let scene = try Scene(["~*", "+@all", "-script"])
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable: following")
        // Together in a batch.
        scene.redis.pause()
        for number in 0..<300 { scene.master.execute("SET early:\(number) v") }
        scene.master.execute("INCR n")
        scene.master.send(journal: [JournalEntry("SCRIPT LOAD return(1)")], flow: 0)
        scene.master.execute("INCR n")
        for number in 0..<300 { scene.master.execute("SET late:\(number) v") }
        scene.redis.resume()
        try scene.waitUntilEqual()
        #expect(try scene.client.command("GET", "n").text == "2")
        try daemon.leave()
        #expect(daemon.deadLetters == [DeadLetter(kind: "script", database: 0, key: "LOAD")])
        #expect(daemon.logs("the target does not take a script of the source: NOPERM"))
        #expect(!daemon.log.contains("the target refuses MSET"))
    }

    @Test func `that loses a right ends the task, and the log names the rule to add`() throws {
        let scene = try Scene(["~*", "+@all"])
        let daemon = try scene.start(sections: ["policy": ["onError: skip"]])
        try daemon.wait(forLine: "stable: following")
        try scene.client.command("ACL", "SETUSER", "app", "-incr")
        scene.master.execute("INCR n")
        try daemon.expectExit(77)
        #expect(daemon.logs(#"the target's ACL forbids INCR "n": add +incr to the user"#))
        try scene.client.command("ACL", "SETUSER", "app", "+incr")
        let next = try scene.start()
        try scene.waitUntilEqual()
        #expect(try scene.client.command("GET", "n").text == "1")
        try next.leave()
    }

    /// A RENAME is sent as a script, whose transaction takes effect although the server denies a command in it.
    @Test func `that loses a right needed in a script gets the script's effect after the right is back`() throws {
        let scene = try Scene(["~*", "+@all"])
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable: following")
        for index in 0..<20 {
            scene.master.execute("SET from:\(index) \(index) PX 3600000")
            scene.master.execute("SET to:\(index) old PX 7200000")
        }
        try scene.waitUntilEqual()
        try scene.client.command("ACL", "SETUSER", "app", "-rename")
        for index in 0..<20 {
            scene.master.execute("RENAME from:\(index) to:\(index)")
            scene.master.execute("INCR n")
        }
        try daemon.expectExit(77)
        #expect(daemon.logs("the target's ACL forbids EVAL"))
        #expect(daemon.logs("+rename"))
        try scene.client.command("ACL", "SETUSER", "app", "+rename")
        let next = try scene.start()
        try next.wait(forLine: "resuming at the checkpoint")
        try scene.waitUntilEqual()
        try next.leave()
        #expect(scene.master.fullSyncs == 1)
        #expect(daemon.deadLetters == [])
    }
}
