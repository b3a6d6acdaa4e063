import Base
import Dragonfly
import FoundationEssentials
import Logging
import Replication

/// The answers of df2redis v2.x, for clients that still read them: `/api/sync/summary`, `/api/sync/progress`,
/// `/api/check/latest` and `/api/events`. Times are RFC 3339 in UTC, and unknown figures are zero.
struct LegacyDocuments {
    private let report: TaskReport
    private let state: TaskState
    private let status: ReplicationStatus

    init(_ report: TaskReport) {
        self.report = report
        state = report.current
        status = report.status
    }

    var summary: String {
        let task = report.task
        let details = status.flows.map { flow in
            Summary.Stage(
                name: "flow:\(flow.flow)", status: flowState(flow), message: flowMessage(flow),
                updatedAt: Self.time(state.updatedAt))
        }
        return JSONLine.text(
            of: Summary(
                stage: stage, stageMessage: status.summary, stageUpdatedAt: Self.time(state.phaseSince),
                source: .init(addr: task.source),
                target: .init(
                    type: "redis-\(task.targetKind)", addr: task.target, seed: task.target,
                    initialKeys: status.counters.targetKeysBefore ?? 0),
                checkpoint: .init(
                    enabled: task.checkpoint.isEnabled, file: task.checkpoint.file ?? "", key: task.checkpoint.key),
                configPath: task.configurationFile, stateDir: task.stateDirectory, stageDetails: details,
                updatedAt: Self.time(state.updatedAt)))
    }

    var progress: String {
        let flows = status.flows
        let applied = flows.reduce(UInt64(0)) { $0 + ($1.appliedLSN?.value ?? 0) }
        let decoded = flows.reduce(UInt64(0)) { $0 + ($1.decodedLSN?.value ?? 0) }
        let sourceKeys = status.counters.sourceKeys ?? 0
        // In the stable phase the copy is complete, whatever the counts are now.
        let percent =
            status.phase == .stable ? 1 : sourceKeys > 0 ? min(Double(status.keys) / Double(sourceKeys), 1) : 0
        return JSONLine.text(
            of: Progress(
                phase: stage, percent: percent, sourceKeysEstimated: sourceKeys,
                targetKeysInitial: status.counters.targetKeysBefore ?? 0,
                targetKeysCurrent: status.counters.targetKeys ?? 0, syncedKeys: status.keys,
                flowStats: flows.map {
                    .init(
                        flowId: $0.flow.index, state: flowState($0), message: flowMessage($0), importedKeys: $0.keys,
                        updatedAt: Self.time(state.updatedAt))
                },
                incremental: .init(
                    lsnCurrent: decoded, lsnApplied: applied, lagLsns: status.lagRecords,
                    lagMillis: Int(status.lag / .milliseconds(1))),
                updatedAt: Self.time(state.updatedAt)))
    }

    /// The daemon's own comparison of both sides: the one that is under way on demand, or the last one. The results of
    /// `df2redis check` are in its file.
    var check: String { JSONLine.text(of: LatestCheckDocument(status)) }

    var events: String {
        JSONLine.text(
            of: Events(
                events: report.events.latest.map {
                    .init(
                        timestamp: Self.time($0.time), type: Self.type($0.level), message: $0.message,
                        event: $0.event, flow: $0.flow)
                }))
    }

    /// The last incidents with their keys; v2.x had no such answer.
    var incidents: String {
        JSONLine.text(
            of: Incidents(
                incidents: report.incidents.map {
                    .init(
                        timestamp: Self.time($0.time * 1000), kind: $0.incident.kind.description,
                        flow: $0.incident.flow.index, database: $0.incident.database, subject: $0.incident.subject,
                        key: $0.incident.key, reason: $0.incident.reason)
                }))
    }

    // MARK: Words

    /// The phase in the words of v2.x.
    private var stage: String {
        switch status.phase {
        case .connecting: "handshake"
        case .fullSync: "full_sync"
        case .stable: "incremental"
        case .waiting: "reconnecting"
        case .catchingUp: "catching_up"
        case .leaving: "stopping"
        }
    }

    private func flowState(_ flow: ReplicationStatus.Flow) -> String { flow.appliedLSN == nil ? "rdb" : "streaming" }

    private func flowMessage(_ flow: ReplicationStatus.Flow) -> String {
        "\(flow.keys) keys, \(flow.records) records, lag \(flow.lag.tenths) s"
    }

    private static func type(_ level: Logger.Level) -> String {
        switch level {
        case .trace, .debug, .info, .notice: "info"
        case .warning: "warn"
        case .error, .critical: "error"
        }
    }

    static func time(_ milliseconds: Int64) -> String {
        Date(timeIntervalSince1970: Double(milliseconds) / 1000).formatted(.iso8601)
    }
}

extension LegacyDocuments {
    private struct Summary: Encodable {
        struct Source: Encodable {
            var type = "dragonfly"
            var addr: String
        }
        struct Target: Encodable {
            var type, addr, seed: String
            var initialKeys: Int
        }
        struct Checkpoint: Encodable {
            var enabled: Bool
            var file, key: String
        }
        struct Stage: Encodable { var name, status, message, updatedAt: String }

        var stage, stageMessage, stageUpdatedAt: String
        var source: Source
        var target: Target
        var checkpoint: Checkpoint
        var configPath, stateDir: String
        var stageDetails: [Stage]
        var updatedAt: String
    }

    private struct Progress: Encodable {
        struct Flow: Encodable {
            var flowId: Int
            var state, message: String
            var importedKeys: Int
            var updatedAt: String
        }
        struct Incremental: Encodable {
            var lsnCurrent, lsnApplied, lagLsns: UInt64
            var lagMillis: Int
        }

        var phase: String
        var percent: Double
        var sourceKeysEstimated, targetKeysInitial, targetKeysCurrent, syncedKeys: Int
        var flowStats: [Flow]
        var incremental: Incremental
        var updatedAt: String
    }

    private struct Events: Encodable {
        struct Event: Encodable {
            var timestamp, type, message: String
            var event, flow: String?
        }
        var events: [Event]
    }

    private struct Incidents: Encodable {
        struct Incident: Encodable {
            var timestamp, kind: String
            var flow: Int
            var database: UInt32
            var subject, key, reason: String
        }
        var incidents: [Incident]
    }
}
