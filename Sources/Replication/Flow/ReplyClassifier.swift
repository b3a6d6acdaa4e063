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

    /// Decides what an unexpected reply means, records it, and asks for keys that may differ to be read at the source.
    ///
    /// - Returns: the error to stop with, or `nil` if the task continues.
    func classify(_ reply: UnexpectedReply, of batch: CommandBatch) -> ReplicationError? {
        if let guarded = batch.guardedKey(ofCommand: reply.command), reply.kind.meansConflict {
            return conflict(guarded)
        }
        let command = SentCommand(reply.command, of: batch)
        let label = command.label
        switch meaning(of: reply, to: command, in: batch) {
        case .nothing: break
        case .keyMissing:
            if !isStale(command) { record(.init(.missingKey), label, Self.missingKey, severity: .missing) }
            refreshKeys(of: command, in: batch)
        case .builtValueGone: refreshKeys(of: command, in: batch)
        case .entriesGone: report(.pendingEntries, "stream", of: command, in: batch)
        case .inDoubt(let doubt): report(doubt.divergence, doubt.commandName, of: command, in: batch)
        case .elementsLeft: memberTTLs?.wantsSweep = true
        case .elementInDoubt: report(.elementExpiryInDoubt, "element", of: command, in: batch)
        case .tooLarge(let excess):
            if policy.onError != .stop { refreshKeys(of: command, in: batch) }
            return overLimit(label, .crossing(excess), leaving: .unchanged)
        case .databaseRefused(let text):
            return stop(.targetChanged, "the target has refused to select a database of the source: \(text)")
        case .denied(let text): return denied(command, text, in: batch)
        case .setMembersLackTTLs:
            return reports.report(
                .memberExpiry, subject: "FIELDEXPIRE", printableKey: label.key, database: label.database)
        case .refusedInRepetition(let text):
            refreshKeys(of: command, in: batch)
            record(
                .init(.repeated), label, "it may have been applied before, and the target refuses it now: \(text)")
        case .refreshRefused(let text):
            for key in ownedKeys(of: command) { reports.noteRefusedRefresh(of: key) }
            record(
                .init(.refreshRefused), label,
                "the target refuses its value, which was read at the source, and keeps what it has: \(text)")
        case .scriptRefused(let text):
            record(
                .init(.script), CommandLabel(name: label.name, key: "\"LOAD\""),
                "the target does not take a script of the source: \(text)")
        case .expected(let refusal, let text):
            refreshKeys(of: command, in: batch)
            record(.init(refusal), label, "\(refusal.reason): \(text)", subject: command.storing)
        case .staleKeyRefused(let text):
            refreshKeys(of: command, in: batch)
            record(
                .init(.staleKey), label,
                "the key waits to be read at the source, and what the target has there does not take the command: \(text)"
            )
        case .refused(let text): return refused(command, text, in: batch)
        }
        return nil
    }

    /// Records an error of no known meaning. The policy decides whether the task stops.
    private func refused(_ command: SentCommand, _ text: String, in batch: CommandBatch) -> ReplicationError? {
        for label in batch.labels(ofCommand: command.number) {
            record(.init(.targetError), label, text, severity: .missing)
        }
        guard policy.onError == .stop else {
            refreshKeys(of: command, in: batch)
            return nil
        }
        let label = command.label
        return stop(
            .policy,
            "the target refuses \(label) in database \(label.database): \(text) (policy.onError: stop; skip goes on)")
    }

    /// - Returns: the error to stop with because the user lacks a right.
    private func denied(_ command: SentCommand, _ text: String, in batch: CommandBatch) -> ReplicationError {
        let label = command.label
        let error = TargetError.forbidden(
            command.storing ?? label.name, key: label.key, text, calls: command.calls)
        guard TargetError.isDenialInTransaction(text) else { return ReplicationError(error, flow: flow) }
        // The batch counts as applied, so no later process sends the command again.
        refreshKeys(of: command, in: batch)
        return reports.keepsRefreshes
            ? ReplicationError(error, flow: flow) : ReplicationError(losing: error, flow: flow)
    }

    private func stop(_ code: ReplicationError.Code, _ message: String) -> ReplicationError {
        ReplicationError(code, flow: flow, message)
    }

    private func record(
        _ kind: IncidentKind, _ label: CommandLabel, _ reason: String, subject: String? = nil,
        severity: IncidentLog.Incident.Severity = .diverging
    ) {
        reports.record(
            .init(
                severity: severity, kind: kind, flow: flow, database: label.database, key: label.key, reason: reason,
                subject: subject ?? label.name))
    }

    private func report(_ divergence: Divergence, _ subject: String, of command: SentCommand, in batch: CommandBatch) {
        let label = command.label
        reports.report(divergence, subject: subject, printableKey: label.key, database: label.database)
        refreshKeys(of: command, in: batch)
    }

    /// An incident for a command that succeeded at the source but found no key in the target.
    private static let missingKey =
        "the source has renamed it or changed its TTL, and the target lacks it: it was never taken over, or the target's own clock, its eviction or somebody else has removed it"

    // MARK: Keys

    /// Asks for the command's keys to be read at the source, because the target's values differ.
    private func refreshKeys(of command: SentCommand, in batch: CommandBatch) {
        reports.refresh(ownedKeys(of: command), since: batch.lsn(ofCommand: command.number))
    }

    /// The keys of the command that are not df2redis' own.
    private func ownedKeys(of command: SentCommand) -> [RefreshKey] {
        command.keys.filter { !ReservedKeys.isOwn($0.key) }.map { RefreshKey(database: $0.database, key: $0.key) }
    }

    /// Whether a key of the command waits to be read at the source, so the target's value there may be outdated.
    private func isStale(_ command: SentCommand) -> Bool {
        command.keys.contains { reports.isStale(RefreshKey(database: $0.database, key: $0.key)) }
    }

    // MARK: Meaning

    private func meaning(of reply: UnexpectedReply, to command: SentCommand, in batch: CommandBatch) -> ReplyMeaning {
        switch (reply.kind, command.label.name) {
        case (.error(let text), _): meaning(ofError: text, to: command, in: batch)
        case (.tooLarge(let excess), _): .tooLarge(excess)
        case (.zero, _) where batch.isEffective(reply.command) && !batch.mayHaveBeenApplied: .keyMissing
        case (.inDoubt(let doubt), _): .inDoubt(doubt)
        case (.empty, "XCLAIM"): .entriesGone
        case (.empty, "EVAL") where memberTTLs?.isDueList(command.label.key) == true: .elementsLeft
        case (.empty, "EVAL"): .elementInDoubt
        case (.null, _), (.zero, _), (.empty, _): .nothing
        }
    }

    /// Decides what an error means. The first rule that matches decides.
    private func meaning(ofError text: String, to command: SentCommand, in batch: CommandBatch) -> ReplyMeaning {
        let name = command.label.name
        let isGoneKey = name == "RENAME" && text == "ERR no such key"
        // No policy continues here: the commands that followed were executed in another database.
        if name == "SELECT" { return .databaseRefused(text) }
        // A missing ACL right is no fault of the data. After the rule is added the task continues here, so no policy leaves the
        // key out.
        if name != "SCRIPT", TargetError.isDenial(text) { return .denied(text) }
        // The built value was renamed before, or the target has lost it. Read it at the source again.
        if isGoneKey, command.keys.contains(where: { BuiltValue.isName($0.key) }) { return .builtValueGone }
        if isGoneKey, !batch.mayHaveBeenApplied { return .keyMissing }
        // The source journals an XSETID even if it refuses the command itself; nothing is lost.
        if name == "XSETID", Self.isRefusalOfXSETID(text) { return .nothing }
        // The record of a FIELDEXPIRE does not say whether its key is a hash or a set.
        if name == "HPEXPIREAT", text.hasPrefix("WRONGTYPE") { return .setMembersLackTTLs }
        if text == "WRONGTYPE FIELDEXPIRE of a set" { return .setMembersLackTTLs }
        if batch.mayHaveBeenApplied { return .refusedInRepetition(text) }
        // The key was reported when it was requested. Without the new value it stays as it was.
        if batch.isRefreshing(command.number) { return .refreshRefused(text) }
        // The source runs Lua 5.4, the target 5.1. A script is not data: its users load it when they need it.
        if name == "SCRIPT" { return .scriptRefused(text) }
        if let refusal = ExpectedRefusal(text, of: name, isStore: command.storing != nil),
            refusal == .command || reports.canRefresh
        {
            return .expected(refusal, text)
        }
        return isStale(command) ? .staleKeyRefused(text) : .refused(text)
    }

    private static func isRefusalOfXSETID(_ text: String) -> Bool {
        text == "ERR no such key" || text.hasPrefix("ERR The ID specified in XSETID is smaller")
    }

    // MARK: What the target does not take

    /// Records a command that the target does not take in any form.
    ///
    /// - Parameter effect: what is written in the command's place if the task continues.
    /// - Returns: the error to stop with, or `nil` if the task continues.
    func overLimit(
        _ label: CommandLabel, _ cause: OverLimit, leaving effect: CommandReplacement.Effect
    ) -> ReplicationError? {
        let isStopping = policy.onError == .stop
        let rest =
            switch effect {
            case _ where isStopping: "the target keeps what it has there"
            case .removed: "nothing older is left there"
            case .fieldsRemoved: "the fields are removed from the hash"
            case .unchanged: "the key stays as it is without it"
            }
        let reason = "\(cause.reason): raise it and start the task anew; until then \(rest)"
        record(.init(.overLimit), label, reason, severity: .missing)
        guard isStopping else { return nil }
        return stop(
            .policy,
            "\(label) in database \(label.database): \(reason) (policy.onError: stop; skip goes on without it)")
    }

    // MARK: Conflicts

    /// Records that a key which the target already has is in the way.
    ///
    /// - Returns: the error to stop with, or `nil` if the task continues.
    func conflict(_ label: CommandLabel) -> ReplicationError? {
        reports.countConflict()
        record(
            .init(.conflict), label, "the target has the key already, and keeps it as it is (conflict.policy)",
            subject: "key")
        guard policy.onConflict == .panic else { return nil }
        return stop(
            .policy,
            "the key \(label.key) in database \(label.database) is in the target already (conflict.policy: panic)")
    }
}

extension UnexpectedReply.Kind {
    /// Whether the reply says that the key already exists: SET NX answers null, RENAMENX 0, RESTORE without REPLACE an
    /// error.
    fileprivate var meansConflict: Bool {
        switch self {
        case .null, .zero: true
        case .error(let text): text.hasPrefix("BUSYKEY")
        case .empty, .inDoubt, .tooLarge: false
        }
    }
}
