import Dragonfly
import Foundation
import Replication
import Testing

@testable import Dashboard

@Suite struct `The status as JSON` {
    private func object(_ status: ReplicationStatus) throws -> [String: Any] {
        let report = TaskReport(task: TaskDescription(name: "prod"))
        let now = TaskState.Moment(instant: .now, milliseconds: 1_800_000_000_000)
        report.take(.phase(status), at: now)
        let json = StatusDocument(report, at: now).json
        return try #require(JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    }

    private var status: ReplicationStatus {
        var status = ReplicationStatus(phase: .stable, source: "a:1", target: "b:2")
        var one = ReplicationStatus.Flow(FlowID(0))
        (one.receivedBytes, one.appliedBytes, one.queuedBytes, one.spooledBytes) = (10_000, 4_000, 5_000, 3_000)
        (one.decodedLSN, one.appliedLSN, one.acknowledgedLSN) = (LSN(120), LSN(110), LSN(100))
        (one.bytesPerRecord, one.lag, one.keys, one.records) = (50, .milliseconds(12_340), 7, 11)
        status.flows = [one, ReplicationStatus.Flow(FlowID(1))]
        status.incidents = ["type": 2]
        return status
    }

    @Test func `has separate figures for received, applied and acknowledged data`() throws {
        let object = try object(status)
        #expect(object["phase"] as? String == "stable")
        #expect(object["receivedBytes"] as? Int == 10_000)
        #expect(object["appliedBytes"] as? Int == 4_000)
        #expect(object["queuedBytes"] as? Int == 5_000)
        #expect(object["queuedDiskBytes"] as? Int == 3_000)
        // 10 decoded records, and queued ones: 5,000 bytes of 50 each.
        #expect(object["lagRecords"] as? Int == 110)
        #expect(object["isLagEstimated"] as? Bool == true)
        #expect(object["lagBytes"] as? Int == 6_000)
        #expect(object["lagSeconds"] as? Double == 12.4)
        let flows = try #require(object["flows"] as? [[String: Any]])
        #expect(flows.map { $0["acknowledgedLSN"] as? Int } == [100, nil])
        #expect(flows.map { $0["appliedLSN"] as? Int } == [110, nil])
        #expect(flows.map { $0["decodedLSN"] as? Int } == [120, nil])
        #expect(flows.map { $0["lagSeconds"] as? Double } == [12.4, 0])
    }

    @Test func `has null, not 0, as the lag if there are no flows`() throws {
        let object = try object(ReplicationStatus(phase: .waiting, source: "a:1", target: "b:2"))
        for key in ["lagRecords", "lagBytes", "lagSeconds", "isLagEstimated"] {
            #expect(object[key] is NSNull, "\(key)")
        }
    }

    @Test func `can be read back as it was written, also with unknown figures`() throws {
        let report = TaskReport(task: TaskDescription(name: "prod"))
        let now = TaskState.Moment(instant: .now, milliseconds: 1_800_000_000_000)
        for status in [status, ReplicationStatus(phase: .waiting, source: "a:1", target: "b:2")] {
            report.take(.phase(status), at: now)
            let json = StatusDocument(report, at: now).json
            #expect(json.hasSuffix("}\n") && json.filter(\.isNewline).count == 1)
            let document = try StatusDocument(json: json)
            #expect(document.json == json)
            #expect(document.lagSeconds == (status.flows.isEmpty ? nil : 12.4))
        }
        // A figure that an older version does not have is not known.
        let json = StatusDocument(report, at: now).json.replacing("\"lagSeconds\":null,", with: "")
        #expect(try StatusDocument(json: json).lagSeconds == nil)
    }

    @Test func `can have the fields of a verification beside those of every answer`() throws {
        var figures = Verification.Figures()
        (figures.number, figures.phase, figures.failure) = (3, .failed, "NOPERM")
        let answer = VerificationAnswer(
            VerificationDocument(figures, isJoined: true), pid: 7, phase: .stable, obstacle: nil)
        let object = try #require(
            JSONSerialization.jsonObject(with: Data(answer.json.utf8)) as? [String: Any])
        #expect(object["pid"] as? Int == 7)
        #expect(object["phase"] as? String == "stable")
        #expect(object["obstacle"] is NSNull)
        #expect(object["state"] as? String == "failed")
        #expect(object["joined"] as? Bool == true)
        #expect(object["finishedAt"] is NSNull)
        #expect(try VerificationAnswer(json: answer.json) == answer)
    }

    @Test func `has a summary line for systemctl with phase, keys, lag and target`() {
        #expect(
            status.summary == "stable: 11 records applied, lag about 110 records, 12.4 s, 2 flows, a:1 to b:2")
        var known = status
        known.counters.targetKeys = 250
        #expect(known.summary.hasPrefix("stable: 250 keys at the target, 11 records applied, lag"))
        known.phase = .fullSync
        #expect(known.summary.hasPrefix("full sync: 7 snapshot keys, "))
        var silent = status
        silent.flows[1].targetSilence = .milliseconds(5_900)
        #expect(silent.summary.hasSuffix("a:1 to b:2; target silent for 5 s"))
        silent.flows[1].targetSilence = .zero
        silent.isTargetLost = true
        #expect(silent.summary.hasSuffix("a:1 to b:2; target lost"))
    }
}
