import Replication
import Testing

@testable import Preflight

@Suite struct `The preflight of the next start's effect on the target` {
    private static let reason = "the source is another one"

    private func finding(
        _ outlook: StartOutlook, _ existing: ReplicatorSettings.Existing = .auto
    ) throws -> PreflightFinding {
        try #require(ContentsPreflight(outlook, existing: existing).finding)
    }

    private func sync(
        _ reason: String?, _ effect: FullSyncOutlook.Effect,
        target: [UInt32: Int] = [0: 4], hasOtherTasks: Bool = false
    ) -> StartOutlook {
        .fullSync(
            FullSyncOutlook(
                reason: reason, effect: effect, targetKeys: target, sourceKeys: 3, hasOtherTasks: hasOtherTasks))
    }

    @Test func `is ok if the task continues, unless the source may have dropped the records`() throws {
        let otherwise = FullSyncOutlook(
            reason: "the buffer", effect: .removes(from: [0]), targetKeys: [0: 4], sourceKeys: 3)
        var found = try finding(.continues(records: 0, otherwise: otherwise))
        #expect(found.level == .ok)
        #expect(found.message == "the next start continues where it has left: the source has nothing newer")
        found = try finding(.continues(records: 17, otherwise: otherwise))
        #expect(found.level == .ok)
        #expect(found.message.hasSuffix("up to 17 records of a shard behind the source"))
        found = try finding(.continues(records: 20_000, otherwise: otherwise))
        #expect(found.level == .warn)
        #expect(found.message.contains("if not, it is a full sync. It removes from database 0 of the target"))
        #expect(found.remedy?.contains("--shard_repl_backlog_len") == true)
    }

    @Test func `warns if a first full sync leaves foreign keys`() throws {
        var found = try finding(sync(nil, .replaces, target: [:]))
        #expect(found.level == .ok)
        #expect(found.message == "the next start is the task's first full sync. The target is empty")
        found = try finding(sync(nil, .replaces))
        #expect(found.level == .warn)
        #expect(
            found.message
                == "the next start is the task's first full sync. The target holds 4 keys: those that the source has too are replaced, the others stay (fullSync.existing: auto)"
        )
        #expect(try finding(sync(nil, .replaces, hasOtherTasks: true)).level == .ok)
        #expect(try finding(sync(Self.reason, .replaces), .replace).level == .ok)
    }

    @Test func `warns of keys that may be removed, with number, reason and databases`() throws {
        var found = try finding(sync(Self.reason, .removes(from: [0, 3]), target: [0: 4, 3: 1, 5: 9]))
        #expect(found.level == .warn)
        #expect(
            found.message
                == "the next start makes a full sync: the source is another one. It removes from databases 0, 3 of the target what the source does not have: there are 5 keys, the source has 3 in all (fullSync.existing: auto)"
        )
        #expect(found.remedy?.contains("fullSync.existing: replace") == true)
        found = try finding(sync(Self.reason, .empties([0])), .flush)
        #expect(found.level == .warn)
        #expect(found.message.contains("It first removes all keys from database 0 of the target, 4 by now"))
        found = try finding(sync(Self.reason, .removes(from: [])))
        #expect(found.level == .ok && found.remedy == nil)
        #expect(found.message.contains("The target holds 4 keys, none of which is removed"))
    }

    @Test func `fails if the start would be refused, and says nothing of a task that has been cut over`() throws {
        for effect in [FullSyncOutlook.Effect.refusesConflict, .refusesLoss(of: [0])] {
            let found = try finding(sync(Self.reason, effect))
            #expect(found.level == .fail && found.remedy != nil)
        }
        #expect(ContentsPreflight(.cutOver, existing: .auto).finding == nil)
    }
}
