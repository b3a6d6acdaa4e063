import Dragonfly
import Foundation
import Logging
import Replication
import Testing

@testable import Dashboard

/// The predecessor's answers: names and shapes that its clients read.
@Suite struct `The answers of v2` {
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

    @Test func `to /api/sync/summary`() throws {
        let object = try object(SyncDocuments(report()).summary)
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

    @Test func `to /api/sync/progress, in a full sync and after it`() throws {
        var object = try object(SyncDocuments(report()).progress)
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
            SyncDocuments(
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

    @Test func `to /api/check/latest and /api/events`() throws {
        let report = report()
        #expect(try object(SyncDocuments(report).check)["status"] as? String == "not_run")
        #expect((try object(SyncDocuments(report).events)["events"] as? [Any])?.isEmpty == true)
        let logger = report.events.noting(Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        logger.info("nobody's business")
        logger.notice("it begins", metadata: ["event": "fullSyncBegun"])
        logger.warning("a \"flow\" is lost", metadata: ["flow": "2"])
        logger.critical("it ends")
        let events = try #require(object(SyncDocuments(report).events)["events"] as? [[String: String]])
        #expect(events.map { $0["type"] } == ["info", "warn", "error"])
        #expect(events.map { $0["message"] } == ["it begins", "a \"flow\" is lost", "it ends"])
        #expect(events.map { $0["event"] } == ["fullSyncBegun", nil, nil])
        #expect(events.map { $0["flow"] } == [nil, "2", nil])
        for _ in 0..<1000 { logger.notice("again") }
        #expect((try object(SyncDocuments(report).events)["events"] as? [Any])?.count == 200)
    }

    @Test func `to /api/sync/progress before anything is known is zeros`() throws {
        let object = try object(SyncDocuments(TaskReport(task: TaskDescription(name: "prod"))).progress)
        #expect(object["percent"] as? Double == 0)
        #expect(object["phase"] as? String == "handshake")
        #expect((object["flowStats"] as? [Any])?.isEmpty == true)
    }
}
