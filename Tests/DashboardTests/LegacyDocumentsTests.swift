import Dragonfly
import Foundation
import Logging
import Replication
import Testing

@testable import Dashboard

/// The answers have the names and shapes that clients of v2 read.
@Suite struct `The API of v2` {
    private func report(_ change: (inout ReplicationStatus) -> Void = { _ in }) -> TaskReport {
        var task = TaskDescription(name: "prod")
        (task.source, task.target, task.stateDirectory) = ("a:1", "b:2", "/var/lib/df2redis/prod")
        task.configurationFile = "/etc/df2redis/prod.yaml"
        let report = TaskReport(task: task)
        var status = ReplicationStatus(phase: .fullSync, source: "a:1", target: "b:2")
        var flow = ReplicationStatus.Flow(FlowID(0))
        flow.keys = 78_000
        status.flows = [flow]
        status.counters.sourceKeys = 312_000
        status.counters.targetKeysBefore = 20_000
        status.counters.targetKeys = 98_000
        change(&status)
        report.take(.phase(status), at: .init(instant: .now, milliseconds: 1_800_000_000_000))
        return report
    }

    private func object(_ json: String) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    }

    @Test func `answers /api/sync/summary with stage, endpoints, checkpoint and flows`() throws {
        let object = try object(LegacyDocuments(report()).summary)
        #expect(object["stage"] as? String == "full_sync")
        #expect(object["stageUpdatedAt"] as? String == "2027-01-15T08:00:00Z")
        #expect(object["source"] as? [String: String] == ["type": "dragonfly", "addr": "a:1"])
        let target = try #require(object["target"] as? [String: Any])
        #expect(target["type"] as? String == "redis-standalone")
        #expect(target["addr"] as? String == "b:2")
        #expect(target["initialKeys"] as? Int == 20_000)
        let checkpoint = try #require(object["checkpoint"] as? [String: Any])
        #expect(checkpoint["enabled"] as? Bool == true)
        #expect(checkpoint["file"] as? String == "")
        #expect(object["configPath"] as? String == "/etc/df2redis/prod.yaml")
        #expect(object["stateDir"] as? String == "/var/lib/df2redis/prod")
        let stages = try #require(object["stageDetails"] as? [[String: String]])
        #expect(stages.map { $0["name"] } == ["flow:0"])
        #expect(stages.map { $0["status"] } == ["rdb"])
    }

    @Test func `answers /api/sync/progress during a full sync and after it`() throws {
        var object = try object(LegacyDocuments(report()).progress)
        #expect(object["phase"] as? String == "full_sync")
        #expect(object["percent"] as? Double == 0.25)
        #expect(object["sourceKeysEstimated"] as? Int == 312_000)
        #expect(object["targetKeysInitial"] as? Int == 20_000)
        #expect(object["targetKeysCurrent"] as? Int == 98_000)
        #expect(object["syncedKeys"] as? Int == 78_000)
        let flows = try #require(object["flowStats"] as? [[String: Any]])
        #expect(flows.first?["flowId"] as? Int == 0)
        #expect(flows.first?["importedKeys"] as? Int == 78_000)

        object = try self.object(
            LegacyDocuments(
                report { status in
                    status.phase = .stable
                    (status.flows[0].decodedLSN, status.flows[0].appliedLSN) = (LSN(105_600), LSN(105_550))
                    status.flows[0].lag = .milliseconds(200)
                }
            ).progress)
        #expect(object["percent"] as? Double == 1)
        let incremental = try #require(object["incremental"] as? [String: Int])
        #expect(incremental == ["lsnCurrent": 105_600, "lsnApplied": 105_550, "lagLsns": 50, "lagMillis": 200])
    }

    @Test func `answers /api/check/latest with the daemon's last comparison of both sides`() throws {
        var object = try object(LegacyDocuments(report()).check)
        #expect(object["status"] as? String == "not_run")
        #expect(object["message"] as? String == "none has been made since the task was started")
        var asked = Verification.Figures()
        (asked.number, asked.phase, asked.found) = (1, .comparing, 3)
        asked.progress = .init(keys: 500, expectedKeys: 1000)
        func latest(_ asked: Verification.Figures?, _ own: FinishedPass? = nil) throws -> [String: Any] {
            let report = report { status in
                status.verification = asked
                status.verifier = VerifierFigures()
                status.verifier?.finished = own
            }
            return try self.object(LegacyDocuments(report).check)
        }
        object = try latest(asked)
        #expect(object["status"] as? String == "running")
        #expect(object["finishedAt"] == nil)
        #expect(object["message"] as? String == "500 of 1000 keys compared, 3 differ")

        (asked.phase, asked.finishedAt, asked.foreign, asked.failed) = (.done, 1_800_000_000_000, 1, 1)
        asked.progress = .init(keys: 1000, expectedKeys: 1000, leftOut: 4)
        object = try latest(asked)
        #expect(object["status"] as? String == "completed")
        #expect(object["finishedAt"] as? String == "2027-01-15T08:00:00Z")
        #expect(object["keys"] as? Int == 1000)
        #expect(object["found"] as? Int == 3)
        #expect(object["mended"] as? Int == 1)
        #expect(object["inconsistentKeys"] as? Int == 2)
        #expect(object["leftOutByPolicy"] as? Int == 4)
        #expect(object["message"] as? String == "1000 keys, 3 differed, 1 is mended, 4 left out by policy")

        // A pass that the daemon made by itself is the last one if it is later.
        let own = FinishedPass(at: 1_800_000_060_000, progress: .init(keys: 7, expectedKeys: 7), found: 0)
        for object in [try latest(asked, own), try latest(nil, own)] {
            #expect(object["finishedAt"] as? String == "2027-01-15T08:01:00Z")
            #expect(object["message"] as? String == "7 keys, none differs")
        }
        (asked.phase, asked.failure, asked.finishedAt) = (.failed, "NOPERM", 1_800_000_120_000)
        object = try latest(asked, own)
        #expect(object["status"] as? String == "failed")
        #expect(object["message"] as? String == "NOPERM")
    }

    @Test func `answers /api/events with the latest notices, warnings and errors`() throws {
        let report = report()
        #expect((try object(LegacyDocuments(report).events)["events"] as? [Any])?.isEmpty == true)
        let logger = report.events.noting(Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        logger.info("nobody's business")
        logger.notice("it begins", metadata: ["event": "fullSyncBegun"])
        logger.warning("a \"flow\" is lost", metadata: ["flow": "2"])
        logger.critical("it ends")
        let events = try #require(object(LegacyDocuments(report).events)["events"] as? [[String: String]])
        #expect(events.map { $0["type"] } == ["info", "warn", "error"])
        #expect(events.map { $0["message"] } == ["it begins", "a \"flow\" is lost", "it ends"])
        #expect(events.map { $0["event"] } == ["fullSyncBegun", nil, nil])
        #expect(events.map { $0["flow"] } == [nil, "2", nil])
        for _ in 0..<1000 { logger.notice("again") }
        #expect((try object(LegacyDocuments(report).events)["events"] as? [Any])?.count == 200)
    }

    @Test func `answers /api/sync/progress with zeros before anything is known`() throws {
        let object = try object(LegacyDocuments(TaskReport(task: TaskDescription(name: "prod"))).progress)
        #expect(object["percent"] as? Double == 0)
        #expect(object["phase"] as? String == "handshake")
        #expect((object["flowStats"] as? [Any])?.isEmpty == true)
    }
}
