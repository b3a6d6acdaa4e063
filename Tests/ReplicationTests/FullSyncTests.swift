import Dragonfly
import Testing

@testable import Replication

@Suite struct `The pace of full syncs` {
    private let start = ContinuousClock.now

    @Test func `does not delay the first full sync, nor one after a session that lasted`() {
        var pacing = FullSyncPacing()
        #expect(pacing.wait(at: start) == nil)
        pacing.sessionEnded(wasFullSync: true, stableTime: .seconds(61), at: start)
        #expect(pacing.wait(at: start) == nil)
        #expect(pacing.failures == 0)
    }

    @Test func `delays full syncs that do not last more and more, up to five minutes`() throws {
        var pacing = FullSyncPacing()
        var longest = Duration.zero
        for failures in 1...20 {
            pacing.sessionEnded(wasFullSync: true, stableTime: failures % 2 == 0 ? .seconds(5) : nil, at: start)
            #expect(pacing.failures == failures)
            let wait = try #require(pacing.wait(at: start))
            let limit = min(Duration.seconds(1 << (failures - 1)), .seconds(300))
            #expect(wait >= limit / 2 && wait <= limit, "wait \(failures)")
            #expect(pacing.wait(at: start + limit) == nil, "it passes")
            longest = max(longest, wait)
        }
        #expect(longest >= .seconds(150))
    }

    @Test func `ignores a continued session unless it lasted`() {
        var pacing = FullSyncPacing()
        pacing.sessionEnded(wasFullSync: true, stableTime: nil, at: start)
        pacing.sessionEnded(wasFullSync: false, stableTime: .seconds(1), at: start)
        #expect(pacing.failures == 1)
        #expect(pacing.reason == "the last full sync was not followed by a minute of replication")
        pacing.sessionEnded(wasFullSync: true, stableTime: .seconds(8), at: start)
        #expect(pacing.reason == "the last 2 full syncs were not followed by a minute of replication")
        pacing.sessionEnded(wasFullSync: false, stableTime: .seconds(60), at: start)
        #expect(pacing.failures == 0)
    }
}

@Suite struct `The reason for a full sync` {
    private func reason(
        _ fields: [String: String], hasFollowed: Bool = false, resumeBlocker: FullSyncReason? = nil
    ) -> FullSyncReason? {
        FullSyncReason(
            CheckpointStore.Opening(fields: fields), replicationID: "abc", flowCount: 2, hasFollowed: hasFollowed,
            resumeBlocker: resumeBlocker)
    }

    private let complete = ["flow:0": "stable abc 2 7", "flow:1": "stable abc 2 9", "databases": "0"]

    @Test func `is absent for a task's first one`() {
        #expect(reason([:]) == nil)
    }

    @Test func `says that the checkpoint is gone`() {
        #expect(reason([:], hasFollowed: true) == .checkpointGone)
        // The fields that writing flows store in a target that was emptied.
        #expect(reason(["flow:0": "stable abc 2 7", "flow:1": "stable abc 2 9"]) == .checkpointGone)
    }

    @Test func `is derived from what the checkpoint contains`() {
        #expect(reason(complete) == .bufferTooShort)
        #expect(reason(complete, resumeBlocker: .mixedFlowModes) == .mixedFlowModes)
        #expect(reason(["databases": "0"], resumeBlocker: .recordsLost) == .recordsLost)
        let other = complete.mapValues { $0.replacing("abc", with: "def") }
        #expect(reason(other) == .otherMaster)
        let three = ["flow:0", "flow:1", "flow:2"].reduce(into: ["databases": "0"]) { $0[$1] = "stable abc 3 7" }
        #expect(reason(three) == .otherShardCount(2, was: 3))
        #expect(reason(["flow:0": "snapshot abc SYNC1 4", "flow:1": "stable abc 2 9"]) == .notCompleted)
        #expect(reason(["databases": "0"]) == .noPosition)
        #expect(
            reason(["flow:0": "stable abc 2 7", "flow:1": "stable abc 2 9", "filling": "0:0"]) == .notCompleted)
        #expect(reason(complete.merging(["reconcile": "pending"]) { $1 }) == .notReconciled)
        #expect(reason(["stopped": "by policy"]) == .stoppedByPolicy)
    }

    @Test func `names databases that were emptied`() {
        let emptied = FullSyncReason.databasesEmptied([5, 3])
        #expect(reason(complete, resumeBlocker: emptied) == emptied)
        #expect("\(emptied)".hasPrefix("database 3, 5 of the target was emptied"))
        // A mark is written with the position, and says nothing of it by itself.
        #expect(reason(["marked:3": "1"], hasFollowed: true) == .checkpointGone)
    }
}

@Suite struct `The databases in the task's record` {
    @Test func `belong to the task if an unfinished first sync found them empty`() {
        let databases = FilledDatabases(.init(fields: ["filling": "0:0,5:17"]))
        #expect(databases.filling == [0: 0, 5: 17])
        #expect(databases.hasOwn && !databases.areNoted)
        #expect(TaskRecord(["filling": TaskRecord.text(databases.filling)]).filling == databases.filling)
    }

    @Test func `are listed as marked until they are emptied or their mark is lost`() {
        var databases = FilledDatabases(.init(fields: ["databases": "0,3,5", "marked:3": "1", "marked:5": "1"]))
        #expect(databases.marked == [3, 5])
        #expect(databases.fields.map(\.field) == ["databases", "marked:3", "marked:5"])
        databases.markEmpty(3)
        databases.forgetMarks(of: [5])
        #expect(databases.marked == [])
        #expect(databases.fields.map(\.field) == ["databases"])
        databases.setMarked([3])
        #expect(databases.fields.map(\.field) == ["databases", "marked:3"])
    }

    @Test func `do not belong to the task if the record cannot be read`() {
        #expect(!FilledDatabases(.init(fields: ["filling": "0:x"])).hasOwn)
        #expect(!FilledDatabases(.init(fields: [:])).hasOwn)
    }

    @Test func `do not belong to the task if they held foreign keys before the first full sync`() {
        var databases = FilledDatabases(.init(fields: ["filling": "0:0,5:17"]))
        databases.markNoted([0, 3, 5])
        #expect(databases.own == [0, 3])
        // A database recorded as filled belongs to the task, which is what the next full sync relies on.
        #expect(FilledDatabases(.init(fields: ["databases": "0,5", "filling": "5:17"])).own == [0, 5])
    }
}
