import Dragonfly
import Redis
import Testing

@testable import Replication

@Suite struct `The position that a flow goes back to` {
    private let slot = KeySlot(5)
    private let expected = "5:1:9:abcdef:ff"

    private func mark(_ lsn: UInt64?, id: String = "id") -> SlotMark {
        SlotMark(
            replicationID: id, position: lsn.map { FlowPosition(lsn: $0) }, stamp: FlowStamp(epoch: 1, number: 3))
    }

    private func rollback(
        _ verdict: NodeWatch.Verdict, at position: UInt64? = 100, lastCrossing: UInt64? = nil
    ) -> FlowRollback {
        FlowRollback(
            verdict, in: slot, because: "reason",
            from: .init(
                session: .init(replicationID: "id", syncID: "SYNC1", flowCount: 2, protocolVersion: 5),
                position: position.map { FlowPosition(lsn: $0) },
                lastCrossing: lastCrossing.map { CrossingNote(lsn: $0) }, watch: NodeWatch(text: expected)))
    }

    @Test func `is that of the mark found on the node`() {
        let rollback = rollback(.older(mark(70)))
        #expect(rollback.position == .stable(replicationID: "id", flowCount: 2, next: LSN(70)))
        #expect(rollback.reason == nil)
        #expect(rollback.message == "reason: the source is asked for everything since record 70")
    }

    @Test func `is never ahead of the flow's current position`() {
        #expect(
            rollback(.older(mark(170))).position == .stable(replicationID: "id", flowCount: 2, next: LSN(100)))
    }

    @Test func `is after the last command over several slots, or else a full sync is needed`() {
        #expect(rollback(.older(mark(70)), lastCrossing: 69).reason == nil)
        #expect(rollback(.older(mark(70)), lastCrossing: 70).reason == .nodeIncomplete)
        #expect(rollback(.older(mark(170)), lastCrossing: 100).reason == .nodeIncomplete)
    }

    @Test func `is the start of a full sync if the source cannot send what is missing`() {
        let none: [NodeWatch.Verdict] = [
            .older(nil), .older(mark(nil)), .older(mark(70, id: "other")), .lacksUnrepeatable(mark(70)), .doubtful,
            .emptied,
        ]
        for verdict in none {
            let rollback = rollback(verdict)
            #expect(rollback.position == .snapshot(replicationID: "id", syncID: "SYNC1", batch: 0), "\(verdict)")
            #expect(rollback.reason == (verdict == .emptied ? .nodeEmptied : .nodeIncomplete))
            #expect(rollback.message == "reason: a full sync is needed")
        }
        #expect(rollback(.older(mark(70)), at: nil).reason == .nodeIncomplete, "the flow is in a full sync itself")
    }

    @Test func `comes with the mark found on the node as the new expectation`() {
        #expect(rollback(.older(mark(70))).watch.text == "5:1:3:abcdef:ff:1:9")
        #expect(rollback(.lacksUnrepeatable(mark(70))).watch.text == "5:1:3:abcdef:ff:1:9")
        #expect(rollback(.older(nil)).watch.text.isEmpty)
        #expect(rollback(.doubtful).watch.text.isEmpty)
    }

    @Test func `is explained in a message that says what the node lacks`() {
        let start = FlowRollback.Start(
            session: .init(replicationID: "id", syncID: "SYNC1", flowCount: 2, protocolVersion: 5),
            position: nil, lastCrossing: nil, watch: NodeWatch())
        let words: [(NodeWatch.Verdict, String)] = [
            (.older(nil), "without writes"), (.lacksUnrepeatable(mark(1)), "without a flush"),
            (.doubtful, "has slots that came"),
            (.emptied, "was emptied"),
        ]
        for (verdict, text) in words {
            let message = FlowRollback(verdict, in: slot, at: "the node h:1", from: start).message
            #expect(message.hasPrefix("the node h:1 "))
            #expect(message.contains(text))
        }
    }
}

@Suite struct `What a flow has stored in a cluster` {
    @Test func `is read from the fields of the checkpoint`() throws {
        let fields: [String?] = ["stable id 1 7", "5:1:9:abcdef:ff", "6 0,1", "3"]
        let checkpoint = try #require(ClusterTargetOpening.Checkpoint(fields, runID: "run"))
        #expect(checkpoint.finding == FlowTargetFinding(runID: "run", checkpoint: "stable id 1 7", outOfStreamCount: 3))
        #expect(checkpoint.watch.expectedSlots == [KeySlot(5)])
        #expect(checkpoint.lastCrossing == CrossingNote(lsn: 6, databases: [0, 1]))
        #expect(checkpoint.hasPredecessor)
    }

    @Test func `is empty if the checkpoint has none of the fields`() throws {
        let checkpoint = try #require(ClusterTargetOpening.Checkpoint([nil, nil, nil, nil], runID: "run"))
        #expect(checkpoint.finding == FlowTargetFinding(runID: "run"))
        #expect(checkpoint.watch.expectedSlots.isEmpty && checkpoint.lastCrossing == nil)
        #expect(!checkpoint.hasPredecessor)
        #expect(ClusterTargetOpening.Checkpoint([], runID: "run") == nil)
    }
}
