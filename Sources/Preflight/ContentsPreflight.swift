import Link
import Replication

/// Describes what the next start does with the contents of the target.
struct ContentsPreflight {
    private let outlook: StartOutlook
    private let existing: ReplicatorSettings.Existing

    init(_ outlook: StartOutlook, existing: ReplicatorSettings.Existing) {
        self.outlook = outlook
        self.existing = existing
    }

    /// The finding; `nil` if the task does not start, which another finding reports.
    var finding: PreflightFinding? {
        switch outlook {
        case .cutOver: nil
        case .continues(let records, let otherwise): continues(records, otherwise)
        case .fullSync(let sync): fullSync(sync)
        }
    }

    private func continues(_ records: UInt64, _ otherwise: FullSyncOutlook) -> PreflightFinding {
        let place =
            records == 0
            ? "where it has left: the source has nothing newer"
            : "where it has left, up to \(records) records of a shard behind the source"
        guard records > SourcePreflight.backlogRecords else {
            return PreflightFinding(.ok, .target, "contents", "the next start continues \(place)")
        }
        return PreflightFinding(
            .warn, .target, "contents",
            "the next start continues \(place), if the source still has these; if not, it is a full sync. \(deed(otherwise))",
            remedy:
                "a source keeps \(SourcePreflight.backlogRecords) records a shard by default: see what its --shard_repl_backlog_len is"
        )
    }

    private func fullSync(_ sync: FullSyncOutlook) -> PreflightFinding {
        let start =
            sync.reason.map { "the next start makes a full sync: \($0)" }
            ?? "the next start is the task's first full sync"
        let isHarmless: Bool
        switch sync.effect {
        case .refusesConflict, .refusesLoss:
            return PreflightFinding(.fail, .target, "contents", "\(start). \(deed(sync))", remedy: remedy(sync))
        case .replaces: isHarmless = sync.keys(nil) == 0 || existing == .replace || sync.hasOtherTasks
        case .removes(let databases), .empties(let databases): isHarmless = databases.isEmpty
        }
        return PreflightFinding(
            isHarmless ? .ok : .warn, .target, "contents", "\(start). \(deed(sync))",
            remedy: isHarmless ? nil : remedy(sync))
    }

    /// Describes in a sentence what a full sync does.
    private func deed(_ sync: FullSyncOutlook) -> String {
        let setting = "fullSync.existing: \(existing.rawValue)"
        let all = sync.keys(nil)
        switch sync.effect {
        case .replaces where all == 0: return "The target is empty"
        case .replaces:
            return
                "The target holds \(counted(all, "key")): those that the source has too are replaced, the others stay (\(setting))"
        case .removes(let databases) where databases.isEmpty, .empties(let databases) where databases.isEmpty:
            return all == 0
                ? "The target is empty"
                : "The target holds \(counted(all, "key")), none of which is removed (\(setting))"
        case .removes(let databases):
            return
                "It removes from \(Self.list(databases)) of the target what the source does not have: there are \(counted(sync.keys(databases), "key")), the source has \(sync.sourceKeys) in all (\(setting))"
        case .empties(let databases):
            return
                "It first removes all keys from \(Self.list(databases)) of the target, \(sync.keys(databases)) by now (\(setting))"
        case .refusesConflict:
            return
                "The task has written to the target before, and conflict.policy cannot tell its keys from others: the start ends with this"
        case .refusesLoss(let databases):
            return
                "The source has \(counted(sync.sourceKeys, "key")), the target \(sync.keys(databases)) of this task: rather than remove them the task stops"
        }
    }

    private func remedy(_ sync: FullSyncOutlook) -> String {
        switch sync.effect {
        case .replaces:
            "empty the target if both are to be equal, or set fullSync.existing: reconcile, which removes the others"
        case .removes:
            "if the target has keys that are to stay and are not the source's, move them elsewhere, or set fullSync.existing: replace, with which nothing is removed"
        case .empties: "if keys are to stay, set fullSync.existing: auto, or replace"
        case .refusesConflict:
            "set conflict.policy to overwrite, or fullSync.existing to flush, or empty the target"
        case .refusesLoss:
            "if source.addr is wrong, correct it; if the source has lost its data, restore them; if the target's keys are to go, set fullSync.existing: reconcile"
        }
    }

    private static func list(_ databases: Set<UInt32>) -> String {
        "database\(databases.count == 1 ? "" : "s") \(databases.sorted().map(String.init).joined(separator: ", "))"
    }
}

extension FullSyncOutlook {
    /// The number of keys that the target holds in these databases; `nil` for all databases.
    fileprivate func keys(_ databases: Set<UInt32>?) -> Int {
        targetKeys.filter { databases?.contains($0.key) ?? true }.values.reduce(0, +)
    }
}
