import Dragonfly
import Redis

/// Classifies unexpected replies and decides whether the task stops.
struct ReplyClassifier {
    private let policy: ReplicationPolicy
    private let reports: EncoderReports
    private let memberTTLs: MemberTTLStage?

    init(_ context: FlowContext, _ reports: EncoderReports, _ memberTTLs: MemberTTLStage?) {
        policy = context.policy
        self.reports = reports
        self.memberTTLs = memberTTLs
    }

    var flow: FlowID { reports.flow }

    /// Decides what an error, or an unexpected null, zero or empty reply, means.
    ///
    /// - Returns: the error to stop with, or `nil` if the task continues.
    func classify(_ irregularity: BatchOutcome.Irregularity, of batch: CommandBatch) -> ReplicationError? {
        if let guarded = batch.guardedKey(ofCommand: irregularity.command), irregularity.kind.meansConflict {
            return conflict(guarded)
        }
        let label = batch.label(ofCommand: irregularity.command)
        let storing =
            irregularity.errorText == nil ? nil : CommandKeys(ofCommand: irregularity.command, in: batch).storing
        switch irregularity.kind {
        case .empty where label.name == "XCLAIM":
            reports.report(
                .pendingEntries, subject: "stream", printableKey: label.key, database: label.database)
            refreshKeys(of: irregularity, in: batch)
            return nil
        case .empty where label.name == "EVAL":
            if let memberTTLs, memberTTLs.isDueList(label.key) {
                memberTTLs.wantsSweep = true
            } else {
                reports.report(
                    .elementExpiryInDoubt, subject: "element", printableKey: label.key, database: label.database)
                refreshKeys(of: irregularity, in: batch)
            }
            return nil
        case .zero where batch.isEffective(irregularity.command) && !batch.mayHaveBeenApplied:
            if !isStale(irregularity, in: batch) { reports.record(.missingKey(label, flow: flow)) }
            refreshKeys(of: irregularity, in: batch)
            return nil
        case .null, .zero, .empty:
            return nil
        case .tooLarge(let excess):
            if policy.onError != .stop { refreshKeys(of: irregularity, in: batch) }
            return overLimit(label, .crossing(excess), leaving: .unchanged)
        case .error(let text) where label.name == "SELECT":
            // No policy continues here: the commands that followed were executed in another database.
            return ReplicationError(
                .targetChanged, flow: flow, "the target has refused to select a database of the source: \(text)")
        case .error(let text) where Self.isDenial(text, storing) && label.name != "SCRIPT":
            // A missing ACL right is no fault of the data. After the rule is added the task continues here, so no policy
            // leaves the key out.
            return ReplicationError(
                TargetError.forbidden(storing ?? label.name, key: label.key, text), flow: flow)
        case .error("ERR no such key") where label.name == "RENAME" && isBuiltValue(irregularity, in: batch):
            // The built value was renamed before, or the target has lost it. Read it at the source again.
            refreshKeys(of: irregularity, in: batch)
            return nil
        case .error("ERR no such key") where label.name == "RENAME" && !batch.mayHaveBeenApplied:
            if !isStale(irregularity, in: batch) { reports.record(.missingKey(label, flow: flow)) }
            refreshKeys(of: irregularity, in: batch)
            return nil
        case .error(let text) where label.name == "XSETID" && Self.isRefusalOfXSETID(text):
            // The source journals an XSETID even if it refuses the command itself; nothing is lost.
            return nil
        case .error(let text)
        where label.name == "HPEXPIREAT" && text.hasPrefix("WRONGTYPE") || text == "WRONGTYPE FIELDEXPIRE of a set":
            // The record of a FIELDEXPIRE does not say whether its key is a hash or a set.
            return reports.report(
                .memberExpiry, subject: "FIELDEXPIRE", printableKey: label.key, database: label.database)
        case .error(let text) where batch.mayHaveBeenApplied:
            refreshKeys(of: irregularity, in: batch)
            reports.record(
                .init(
                    severity: .diverging, kind: .init(.repeated), flow: flow, database: label.database,
                    key: label.key,
                    reason: "it may have been applied before, and the target refuses it now: \(text)",
                    subject: label.name))
            return nil
        case .error(let text) where batch.isRefreshing(irregularity.command):
            // The key was reported when it was requested. Without the new value it stays as it was.
            for (database, key) in CommandKeys(ofCommand: irregularity.command, in: batch).all
            where !ReservedKeys.isOwn(key) {
                reports.noteRefusedRefresh(of: RefreshKey(database: database, key: key))
            }
            reports.record(
                .init(
                    severity: .diverging, kind: .init(.refreshRefused), flow: flow, database: label.database,
                    key: label.key,
                    reason:
                        "the target refuses its value, which was read at the source, and keeps what it has: \(text)",
                    subject: label.name))
            return nil
        case .error(let text) where label.name == "SCRIPT":
            // The source runs Lua 5.4, the target 5.1. A script is not data: its users load it when they need it.
            reports.record(
                .init(
                    severity: .diverging, kind: .init(.script), flow: flow, database: 0, key: "\"LOAD\"",
                    reason: "the target does not take a script of the source: \(text)", subject: label.name))
            return nil
        case .error(let text):
            if let refusal = ExpectedRefusal(text, of: label.name, isStore: storing != nil),
                refusal == .command || reports.canRefresh
            {
                refreshKeys(of: irregularity, in: batch)
                reports.record(
                    .init(
                        severity: .diverging, kind: .init(refusal), flow: flow, database: label.database,
                        key: label.key, reason: "\(refusal.reason): \(text)", subject: storing ?? label.name))
                return nil
            }
            if isStale(irregularity, in: batch) {
                refreshKeys(of: irregularity, in: batch)
                reports.record(
                    .init(
                        severity: .diverging, kind: .init(.staleKey), flow: flow, database: label.database,
                        key: label.key,
                        reason:
                            "the key waits to be read at the source, and what the target has there does not take the command: \(text)",
                        subject: label.name))
                return nil
            }
            let message = "the target refuses \(label) in database \(label.database): \(text)"
            for label in batch.labels(ofCommand: irregularity.command) {
                reports.record(
                    .init(
                        severity: .missing, kind: .init(.targetError), flow: flow, database: label.database,
                        key: label.key, reason: text, subject: label.name))
            }
            guard policy.onError == .stop else {
                refreshKeys(of: irregularity, in: batch)
                return nil
            }
            return ReplicationError(.policy, flow: flow, "\(message) (policy.onError: stop; skip goes on)")
        }
    }

    /// Asks for the command's keys to be read at the source, because the target's values differ.
    private func refreshKeys(of irregularity: BatchOutcome.Irregularity, in batch: CommandBatch) {
        let keys = CommandKeys(ofCommand: irregularity.command, in: batch).all
            .filter { !ReservedKeys.isOwn($0.key) }
            .map { RefreshKey(database: $0.database, key: $0.key) }
        reports.refresh(keys, since: batch.lsn(ofCommand: irregularity.command))
    }

    /// Whether a key of the command waits to be read at the source, so the target's value there may be outdated.
    private func isStale(_ irregularity: BatchOutcome.Irregularity, in batch: CommandBatch) -> Bool {
        CommandKeys(ofCommand: irregularity.command, in: batch).all
            .contains { reports.isStale(RefreshKey(database: $0.database, key: $0.key)) }
    }

    private func isBuiltValue(_ irregularity: BatchOutcome.Irregularity, in batch: CommandBatch) -> Bool {
        CommandKeys(ofCommand: irregularity.command, in: batch).all.contains { BuiltValue.isName($0.key) }
    }

    /// Why the target does not take a command in any form.
    enum Obstacle {
        /// The command exceeds the target's limits.
        case excess(TargetLimits.Excess)
        /// A key that the command needs from another slot exceeds the limits.
        case crossing(TargetLimits.Excess)
        /// The target ends each connection that brings the command.
        case fatal(size: CommandBatch.Size, words: String?)

        var reason: String {
            switch self {
            case .excess(.argument(let bytes, let limit)):
                "an argument of \(bytes) bytes is over the target's proto-max-bulk-len\(limit.map { " of \($0) bytes" } ?? "")"
            case .excess(.transaction(let bytes, let limit)):
                "arguments of \(bytes) bytes are over the target's client-query-buffer-limit\(limit.map { " of \($0) bytes" } ?? "")"
            case .crossing(let excess):
                "its keys are in several slots, and taking the value of one to another is not possible: \(Obstacle.excess(excess).reason)"
            case .fatal(let size, let words?):
                "the target ends the connection each time at an argument of \(size.longestArgument) bytes, as beyond proto-max-bulk-len (\(words))"
            case .fatal(let size, nil):
                "the target ends the connection each time at arguments of \(size.allArguments) bytes, without a word, as beyond client-query-buffer-limit"
            }
        }
    }

    /// Records a command that the target does not take in any form.
    ///
    /// - Parameter effect: what is written in the command's place if the task continues.
    /// - Returns: the error to stop with, or `nil` if the task continues.
    func overLimit(
        _ label: CommandBatch.Label, _ obstacle: Obstacle, leaving effect: CommandBatch.Remainder.Effect
    ) -> ReplicationError? {
        let isStopping = policy.onError == .stop
        let rest =
            switch effect {
            case _ where isStopping: "the target keeps what it has there"
            case .removed: "nothing older is left there"
            case .fieldsRemoved: "the fields are removed from the hash"
            case .unchanged: "the key stays as it is without it"
            }
        let reason = "\(obstacle.reason): raise it and start the task anew; until then \(rest)"
        reports.record(
            .init(
                severity: .missing, kind: .init(.overLimit), flow: flow, database: label.database, key: label.key,
                reason: reason, subject: label.name))
        guard isStopping else { return nil }
        return ReplicationError(
            .policy, flow: flow,
            "\(label) in database \(label.database): \(reason) (policy.onError: stop; skip goes on without it)")
    }

    /// Whether the target's user lacks the right for the command.
    ///
    /// - Parameter storing: the command that a script runs. A denial inside a script has an error text of its own.
    private static func isDenial(_ text: String, _ storing: String?) -> Bool {
        if text.hasPrefix("NOPERM") { return true }
        guard storing != nil else { return false }
        return text.hasPrefix("ERR ACL failure in script")
            || text.hasPrefix("ERR The user executing the script can't run")
    }

    private static func isRefusalOfXSETID(_ text: String) -> Bool {
        text == "ERR no such key" || text.hasPrefix("ERR The ID specified in XSETID is smaller")
    }

    /// Records that a key which the target already has is in the way.
    ///
    /// - Returns: the error to stop with, or `nil` if the task continues.
    func conflict(_ label: CommandBatch.Label) -> ReplicationError? {
        reports.countConflict()
        reports.record(
            .init(
                severity: .diverging, kind: .init(.conflict), flow: flow, database: label.database, key: label.key,
                reason: "the target has the key already, and keeps it as it is (conflict.policy)", subject: "key"))
        guard policy.onConflict == .panic else { return nil }
        return ReplicationError(
            .policy, flow: flow,
            "the key \(label.key) in database \(label.database) is in the target already (conflict.policy: panic)")
    }
}

extension BatchOutcome.Irregularity.Kind {
    /// Whether the reply says that the key already exists: SET NX answers null, RENAMENX 0, RESTORE without REPLACE an
    /// error.
    fileprivate var meansConflict: Bool {
        switch self {
        case .null, .zero: true
        case .error(let text): text.hasPrefix("BUSYKEY")
        case .empty, .tooLarge: false
        }
    }
}

extension BatchOutcome.Irregularity {
    var errorText: String? {
        if case .error(let text) = kind { return text }
        return nil
    }
}

extension IncidentLog.Incident {
    /// An incident for a command that succeeded at the source but found no key in the target.
    fileprivate static func missingKey(_ label: CommandBatch.Label, flow: FlowID) -> Self {
        .init(
            severity: .missing, kind: .init(.missingKey), flow: flow, database: label.database, key: label.key,
            reason:
                "the source has renamed it or changed its TTL, and the target lacks it: it was never taken over, or the target's own clock, its eviction or somebody else has removed it",
            subject: label.name)
    }
}
