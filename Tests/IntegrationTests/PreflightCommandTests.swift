import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// `df2redis preflight` between two starts of a task: the next start does what the command has said.
@Suite(.serialized) struct `A preflight of a task that has run` {
    /// A task whose source has three keys.
    private final class Scene: TaskScene<RedisServer> {
        init(_ sections: [String: [String]] = [:]) throws {
            try super.init(from: startedMaster(), into: RedisServer(), sections)
            for number in 0..<3 { master.execute("SET key:\(number) v") }
        }

        /// Runs the task until it follows the source, and ends it.
        func followAndLeave() throws { try follow().leave() }

        /// What the command says of the target's contents.
        func foresee() throws -> (level: String, message: String) {
            let before = (master.sessionsStarted, try keys())
            let (code, output) = try daemon.run("preflight", "--json")
            let text = output.prefix(through: try #require(output.lastIndex(of: "}")))
            let report = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            let findings = report?["findings"] as? [[String: Any]] ?? []
            let finding = try #require(findings.first { $0["topic"] as? String == "contents" }, "\(code) \(output)")
            #expect(master.sessionsStarted == before.0, "no session is made")
            #expect(try keys() == before.1, "nothing is written")
            return (finding["level"] as? String ?? "", finding["message"] as? String ?? "")
        }

        private func keys() throws -> [String] {
            (try client.command("KEYS", "*").array ?? []).compactMap(\.text).sorted()
        }

        /// Expects a preflight to announce a full sync for `reason` that removes a client's key, and the next start to do
        /// just that.
        func expectFullSync(_ reason: String) throws {
            try client.command("SET", "mine", "1")
            let (level, message) = try foresee()
            #expect(level == "warn")
            #expect(message.hasPrefix("the next start makes a full sync: \(reason)"), "\(message)")
            #expect(
                message.contains(
                    "It removes from database 0 of the target what the source does not have: there are 4 keys, the source has 3 in all"
                ), "\(message)")
            let daemon = try start()
            try daemon.wait(forLine: "a full sync is needed: \(reason)")
            try wait(until: "what the source does not have is removed") {
                try client.command("EXISTS", "mine").int == 0
                    && client.command("HEXISTS", Self.checkpoint, "reconcile").int == 0
            }
            try daemon.leave()
            #expect(master.violations == [])
        }

        func expectContinuing() throws {
            try client.command("SET", "mine", "1")
            let (level, message) = try foresee()
            #expect(level == "ok" && message.hasPrefix("the next start continues where it has left"), "\(message)")
            let daemon = try start()
            try daemon.wait(forLine: "resuming at the checkpoint")
            try daemon.leave()
            #expect(try client.command("EXISTS", "mine").int == 1)
            #expect(master.fullSyncs == 1)
            #expect(master.violations == [])
        }
    }

    @Test func `says that the next start continues, wherever the position is kept`() throws {
        for sections in [[:], ["checkpoint": ["store: file"]]] {
            let scene = try Scene(sections)
            try scene.followAndLeave()
            scene.master.execute("SET key:2 new")
            try scene.expectContinuing()
        }
    }

    @Test func `says that after a migration there is no position`() throws {
        let scene = try Scene()
        try scene.start(.migrate).expectExit(0)
        try scene.expectFullSync("the task has filled the target before, and has kept no position to go on from")
    }

    @Test func `says that with checkpoint.enabled: false no start continues`() throws {
        let scene = try Scene(["checkpoint": ["enabled: false"]])
        try scene.followAndLeave()
        try scene.expectFullSync("checkpoint.enabled is false")
    }

    @Test func `says that the source has been restarted`() throws {
        let scene = try Scene()
        try scene.followAndLeave()
        scene.master.restart()
        try scene.expectFullSync("the source is another master than the checkpoint's, or has been restarted")
    }

    @Test func `says that the source's role was changed, and what fullSync.existing keeps`() throws {
        let scene = try Scene(["fullSync": ["existing: replace"]])
        try scene.followAndLeave()
        scene.master.promote()
        let (level, message) = try scene.foresee()
        #expect(level == "ok" && message.contains("calls of REPLICAOF and its like"), "\(message)")
        #expect(message.contains("the others stay (fullSync.existing: replace)"), "\(message)")
    }

    @Test func `says that a full sync follows a stop by policy, an interrupted removal or an undone cut-over`() throws {
        let scene = try Scene()
        try scene.followAndLeave()
        try scene.client.command("HSET", Scene.checkpoint, "stopped", "by policy")
        try scene.expectFullSync("the task was stopped by policy, and the target differs since")
        try scene.client.command("HSET", Scene.checkpoint, "reconcile", "pending")
        try scene.expectFullSync("the one before was ended before it had removed what the source no longer has")
        _ = try scene.folder.write("1\n", to: "state/\(Daemon.taskName).resync")
        try scene.expectFullSync("the task was cut over, which has been taken back")
    }

    @Test func `says that a source without keys will not empty the target`() throws {
        let scene = try Scene()
        try scene.followAndLeave()
        scene.master.withholdingRecords { scene.master.execute("FLUSHALL") }
        scene.master.restart()
        let (level, message) = try scene.foresee()
        #expect(level == "fail")
        #expect(message.contains("The source has 0 keys, the target 3 of this task"), "\(message)")
        try scene.start().expectExit(65)
        #expect(try scene.client.command("EXISTS", "key:1").int == 1)
    }

    @Test func `says that a foreign checkpoint file prevents the start`() throws {
        let folder = try TemporaryFolder("foreign")
        let path = try folder.write("{\"lsn\": 5}", to: "foreign.json")
        let scene = try Scene(["checkpoint": ["store: file", "path: \(path)"]])
        try scene.start().expectExit(78)
        let (level, message) = try scene.foresee()
        #expect(level == "fail" && message.contains("foreign.json cannot be used"), "\(message)")
    }
}
