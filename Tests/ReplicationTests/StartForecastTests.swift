import Dragonfly
import Link
import Redis
import Testing
import Wire

@testable import Replication

@Suite struct `The forecast of a start` {
    private let complete = ["flow:0": "stable abc 2 7", "flow:1": "stable abc 2 9", "databases": "0", "source": "abc"]
    private let source = StartForecast.Source(
        replicationID: "abc", nextLSNs: [LSN(10), LSN(9)], keys: [0: 3], calls: nil, version: SourceVersion(1, 36, 0))

    private func outlook(
        _ fields: [String: String], source: StartForecast.Source? = nil, target: [UInt32: Int] = [0: 4],
        others: [String: Set<UInt32>] = [:], blocker: FullSyncReason? = nil,
        _ change: (inout ReplicatorSettings) -> Void = { _ in }
    ) -> StartOutlook {
        let endpoint = Endpoint(host: "127.0.0.1", port: 1)
        var settings = ReplicatorSettings(
            task: "test", mode: .replicate,
            source: SourceSettings(endpoint: endpoint, clientID: "", displayName: ""),
            target: TargetSettings(endpoint: endpoint, clientName: ""), clock: { 0 })
        change(&settings)
        var held = StartForecast.Target(keys: target, others: OtherTasks(databases: others))
        held.blocker = blocker
        return StartForecast(
            settings: settings, checkpoint: CheckpointStore.Opening(fields: fields), source: source ?? self.source,
            target: held
        ).outlook
    }

    private func fullSync(_ outlook: StartOutlook) -> (reason: String?, effect: FullSyncOutlook.Effect)? {
        guard case .fullSync(let sync) = outlook else { return nil }
        return (sync.reason, sync.effect)
    }

    @Test func `is a continuation at a position of the same master`() {
        guard case .continues(let records, let otherwise) = outlook(complete) else {
            Issue.record("it is a full sync")
            return
        }
        #expect(records == 3)
        #expect(otherwise.reason == "\(FullSyncReason.bufferTooShort)")
        #expect(otherwise.effect == .removes(from: [0]))
    }

    @Test func `is a full sync with another source, a lost backlog or a version that never continues`() {
        var other = source
        other.replicationID = "def"
        #expect(fullSync(outlook(complete, source: other))?.reason == "\(FullSyncReason.otherMaster)")
        other = source
        other.nextLSNs = [LSN(10), LSN(9), LSN(1)]
        #expect(fullSync(outlook(complete, source: other))?.reason == "\(FullSyncReason.otherShardCount(3, was: 2))")
        other = source
        other.nextLSNs = [LSN(0), LSN(0)]
        #expect(fullSync(outlook(complete, source: other))?.reason == "\(FullSyncReason.bufferTooShort)")
        other = source
        other.version = SourceVersion(1, 34, 2)
        #expect(fullSync(outlook(complete, source: other))?.reason == "\(FullSyncReason.bufferTooShort)")
        other = source
        other.calls = SourceCalls(flushes: 0, roleChanges: 2)
        let counted = complete.merging(["counts": "0 0 - 0 1"]) { $1 }
        #expect(
            fullSync(outlook(counted, source: other))?.reason
                == "\(FullSyncReason.roleChanged(calls: 2, before: 1))")
    }

    @Test func `gives the same reason as the session for a checkpoint without a position`() {
        let effect = FullSyncOutlook.Effect.removes(from: [0])
        for (fields, reason) in [
            (["databases": "0", "source": "abc"], FullSyncReason.noPosition),
            (complete.merging(["reconcile": "pending"]) { $1 }, .notReconciled),
            (["databases": "0", "source": "abc", "stopped": "by policy"], .stoppedByPolicy),
            (["filling": "0:0"], .notCompleted),
        ] {
            let found = fullSync(outlook(fields))
            #expect(found?.reason == "\(reason)" && found?.effect == effect, "\(reason)")
        }
        let incomplete = fullSync(outlook(complete, blocker: .nodeIncomplete))
        #expect(incomplete?.reason == "\(FullSyncReason.nodeIncomplete)")
        #expect(outlook(complete.merging(["cutover": "1"]) { $1 }) == .cutOver)
    }

    @Test func `leaves foreign keys at the first full sync, unless configured otherwise`() {
        let first = fullSync(outlook([:]))
        #expect(first?.reason == nil && first?.effect == .replaces)
        #expect(fullSync(outlook([:]) { $0.existing = .reconcile })?.effect == .removes(from: [0]))
        #expect(fullSync(outlook([:]) { $0.existing = .flush })?.effect == .empties([0]))
        #expect(fullSync(outlook([:]) { $0.policy.onConflict = .skip })?.effect == .replaces)
    }

    @Test func `removes keys at a later full sync only from databases that this task alone fills`() {
        let filled = ["databases": "0,3", "source": "abc"]
        let keys: [UInt32: Int] = [0: 4, 3: 5, 7: 6]
        #expect(fullSync(outlook(filled, target: keys))?.effect == .removes(from: [0, 3]))
        #expect(fullSync(outlook(filled, target: keys, others: ["other": [3]]))?.effect == .removes(from: [0]))
        #expect(fullSync(outlook(filled, target: keys) { $0.existing = .replace })?.effect == .replaces)
        #expect(fullSync(outlook(filled, target: keys) { $0.existing = .flush })?.effect == .empties([0, 3]))
        #expect(fullSync(outlook(["filling": "0:0,3:5"], target: keys))?.effect == .removes(from: [0]))
        #expect(fullSync(outlook(filled, target: [:]))?.effect == .removes(from: []))
        // The source has keys in a database that also holds foreign keys.
        var wider = source
        wider.keys = [0: 3, 7: 1]
        #expect(fullSync(outlook(filled, source: wider, target: keys))?.effect == .removes(from: [0, 3]))
        #expect(
            fullSync(outlook(filled, source: wider, target: keys) { $0.existing = .reconcile })?.effect
                == .removes(from: [0, 3, 7]))
    }

    @Test func `includes what the session would refuse`() {
        #expect(
            fullSync(outlook(["databases": "0"]) { $0.policy.onConflict = .skip })?.effect == .refusesConflict)
        var empty = source
        empty.keys = [:]
        #expect(fullSync(outlook(["databases": "0"], source: empty))?.effect == .refusesLoss(of: [0]))
        #expect(
            fullSync(outlook(["databases": "0"], source: empty) { $0.existing = .reconcile })?.effect
                == .removes(from: [0]))
        var other = source
        other.replicationID = "def"
        #expect(fullSync(outlook(complete, source: other, target: [0: 5000]))?.effect == .refusesLoss(of: [0]))
        #expect(
            fullSync(outlook(["databases": "0", "source": "abc"], target: [0: 5000]))?.effect == .removes(from: [0]))
    }
}
