import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// What a running task says of itself over HTTP.
@Suite(.serialized) struct `The page of a task` {
    /// A task with a page, which is not waited for.
    private func scene(_ sections: [String: [String]] = ["dashboard": ["addr: 127.0.0.1:0"]]) throws -> RedisScene {
        let scene = try RedisScene(RedisScene.retryingSoon.merging(sections) { $1 })
        try scene.start()
        return scene
    }

    @Test func `shows the same as the status file, from the first sync to the leave`() throws {
        let scene = try scene()
        for number in 0..<50 { scene.master.execute("SET key:\(number) value") }
        try scene.daemon.wait(forLine: "stable: following")
        try wait(until: "it is ready") { try scene.answer("/ready").status == 200 }
        try wait(until: "the last record is applied") {
            try scene.answer("/api/status").object()["lagRecords"] as? Int == 0
        }
        #expect(try scene.answer("/health").status == 200)
        let object = try scene.answer("/api/status").object()
        #expect(object["phase"] as? String == "stable")
        #expect(object["dashboard"] as? String == "http://127.0.0.1:\(try scene.daemon.pagePort())/")
        #expect(object["pid"] as? Int32 == scene.daemon.process.pid)
        let file = try #require(scene.daemon.status)
        for key in ["task", "source", "target", "phase", "keys", "dashboard", "pid", "fullSyncs"] {
            #expect(file[key] as? NSObject == object[key] as? NSObject, "\(key)")
        }
        #expect((object["fullSyncReasons"] as? [String: Int]) == ["first": 1])
        try scene.daemon.leave()
        #expect(throws: LabError.self) { try scene.answer("/health") }
        #expect(scene.master.violations.isEmpty)
    }

    @Test func `reports a healthy task while the target is away, but not while the source is`() throws {
        let scene = try scene()
        try scene.daemon.wait(forLine: "stable: following")
        scene.redis.stop()
        scene.master.execute("SET a 1")
        try wait(until: "it is not ready") { try scene.answer("/ready").object()["code"] as? String == "target-lost" }
        #expect(try scene.answer("/health").status == 200)
        let loss = try #require(try scene.answer("/api/status").object()["targetLoss"] as? String)
        #expect(try scene.answer("/ready").object()["reason"] as? String == "the target does not serve: \(loss)")
        #expect(scene.daemon.logs("\(loss); what arrives is kept meanwhile"))

        let other = try self.scene()
        try other.daemon.wait(forLine: "stable: following")
        other.master.stop()
        try wait(until: "it is not well") { try other.answer("/health").status == 503 }
        let reason = try other.answer("/health").object()
        #expect(reason["code"] as? String == "source-lost")
        #expect((reason["reason"] as? String)?.isEmpty == false)
    }

    @Test func `does not stop the replication if its address is in use`() throws {
        let taken = try Listener()
        let scene = try scene(["dashboard": ["addr: 127.0.0.1:\(taken.port)"]])
        try scene.daemon.wait(forLine: "the page cannot listen on 127.0.0.1:\(taken.port): Address already in use")
        try scene.daemon.wait(forLine: "stable: following")
        scene.master.execute("SET a 1")
        let client = try scene.redis.client()
        try wait(until: "it is applied") { try client.command("GET", "a").text == "1" }
        #expect(scene.daemon.status?["dashboard"] is NSNull)
        try scene.daemon.leave()
    }

    @Test func `has counters that the loss of the source does not reset`() throws {
        let scene = try scene()
        try scene.daemon.wait(forLine: "stable: following")
        for number in 0..<100 { scene.master.execute("SET key:\(number) value") }
        func records() throws -> Int {
            try scene.answer("/metrics").body.split(separator: "\n")
                .filter { $0.hasPrefix("df2redis_records_total{") }
                .reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
        }
        try wait(until: "all are applied") { try records() == 100 }
        scene.master.endSessions()
        try wait(until: "another session has begun") {
            try scene.answer("/metrics").body.contains("df2redis_sessions_total{task=\"lab\"} 2\n")
        }
        #expect(try records() >= 100)
        scene.master.execute("SET more 1")
        try wait(until: "the next one is counted too") { try records() == 101 }
        #expect(try scene.answer("/metrics").body.contains("event=\"sourceLost\"} 1\n"))
    }
}

extension RedisScene {
    fileprivate func answer(_ path: String) throws -> HTTPAnswer { try HTTPClient.get(path, port: daemon.pagePort()) }
}
