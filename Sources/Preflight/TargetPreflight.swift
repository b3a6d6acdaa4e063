import Link
import Redis
import Replication
import Servers
import Wire

/// What a look at the target has given.
struct TargetSide: ServerSide, Sendable {
    var findings: [PreflightFinding] = []
    var profile: TargetProfile?
    var databaseCount: UInt32?
    var aheadMilliseconds: Int64?
    var usedBytes: Int?
    /// What it may use; the machine's memory where it has no limit of its own.
    var memoryBytes: Int?
}

/// Looks at the target.
struct TargetPreflight: Sendable {
    private let options: PreflightOptions
    private var settings: TargetSettings { options.settings.target }

    init(_ options: PreflightOptions) { self.options = options }

    func run() async -> TargetSide {
        var side = TargetSide()
        if let sentinel = settings.sentinel {
            side.findings += await SentinelPreflight(settings: sentinel, timeout: settings.timeout).findings()
            if side.findings.contains(where: { $0.level == .fail }) { return side }
        }
        let control = TargetControl(connector: TargetConnector(settings: settings), role: "control")
        let visit = ServerVisit(
            subject: .target, place: settings.place,
            remedy: "nothing more could be asked of the target: mend this first, then run preflight again")
        await visit.run(&side) { () async throws(ServerError) in
            try await ServerConnection.target(settings, role: "preflight")
        } look: { (server, side) async throws(ServerError) in
            try await look(server, control, &side)
        }
        await control.close()
        return side
    }

    private func look(
        _ server: ServerConnection, _ control: TargetControl, _ side: inout TargetSide
    ) async throws(ServerError) {
        side.findings += try await CertificatePreflight(subject: .target, tls: settings.tls).findings(server)
        if let cluster = server.cluster {
            side.findings += try await ClusterPreflight(connections: cluster).findings(server)
            // It answers nothing about keys.
            if side.findings.contains(where: { $0.level == .fail && $0.topic != "certificate" }) { return }
        }
        do throws(TargetError) {
            let profile = try await control.profile()
            side.profile = profile
            side.findings.append(
                PreflightFinding(
                    .ok, .target, "version", "\(profile)\(settings.cluster == nil ? ", a primary" : "")"))
        } catch {
            if error.code == .unreachable { throw .target(error) }
            side.findings.append(
                PreflightFinding(
                    .fail, .target, "version", error.fault,
                    remedy: error.code == .permission
                        ? "give the user of target.username this right, then run preflight again: nothing more could be asked"
                        : error.remedy
                            ?? "set target.addr to a primary of Redis or Valkey, \(TargetProfile.oldestVersion) or later"
                ))
            // Of what is no server to write to, or does not say what it is, nothing else is asked.
            if error.code == .unsuitable || error.code == .permission { return }
        }
        side.findings += try await rights(control)
        side.findings += try await state(server, &side)
        do throws(TargetError) { side.databaseCount = try await control.databaseCount() } catch { throw .target(error) }
        side.findings += try await tasks(server)
    }

    /// Memory and persistence, of a cluster master by master.
    private func state(
        _ server: ServerConnection, _ side: inout TargetSide
    ) async throws(ServerError) -> [PreflightFinding] {
        var findings: [PreflightFinding] = []
        for place in try await server.walkPlaces() {
            let info = try await server.info("all", at: place)
            var found = memory(info, &side)
            found.append(try await persistence(server, info, at: place))
            guard let place else { return found + replicas(info) }
            for finding in found {
                // What is right everywhere is one line.
                guard finding.level != .ok else {
                    if !findings.contains(finding) { findings.append(finding) }
                    continue
                }
                findings.append(
                    PreflightFinding(
                        finding.level, finding.subject, finding.topic, "\(place): \(finding.message)",
                        remedy: finding.remedy))
            }
        }
        return findings
    }

    private func replicas(_ info: ServerInfo) -> [PreflightFinding] {
        if let replicas = info["connected_slaves"].flatMap({ Int($0) }), replicas > 0 {
            return [
                PreflightFinding(
                    .ok, .target, "replicas",
                    replicas == 1
                        ? "1 replica gets all that is written" : "\(replicas) replicas get all that is written")
            ]
        }
        return []
    }

    private func rights(_ control: TargetControl) async throws(ServerError) -> [PreflightFinding] {
        let user = settings.user ?? "default"
        do throws(TargetError) {
            let rights = try await control.rights(ownKey: options.checkpointKey)
            do throws(TargetError) {
                try rights.requireNeeded(user: settings.user, ownKeys: options.ownPrefixes)
            } catch {
                let (what, line) = Self.parts(error.message)
                return [PreflightFinding(.fail, .target, "rights", what, remedy: line)]
            }
            if rights.losses.isEmpty {
                return [PreflightFinding(.ok, .target, "rights", "user \(user) may do all that a task does")]
            }
            return rights.losses.map {
                PreflightFinding(
                    .warn, .target, "rights", $0,
                    remedy: "allow it to user \(user) (README, Rights), or accept what is said to be lost")
            }
        } catch {
            throw .target(error)
        }
    }

    /// The ACL line of a refusal is its remedy.
    private static func parts(_ message: String) -> (String, String?) {
        let parts = message.split(separator: " On the target: ", maxSplits: 1)
        guard parts.count == 2 else { return (message, nil) }
        return (String(parts[0]), "on the target: \(parts[1])")
    }

    private func memory(_ info: ServerInfo, _ side: inout TargetSide) -> [PreflightFinding] {
        func number(_ name: String) -> Int { info[name].flatMap { Int($0) } ?? 0 }
        let limit = number("maxmemory")
        side.usedBytes = (side.usedBytes ?? 0) + number("used_memory")
        side.memoryBytes = (side.memoryBytes ?? 0) + (limit > 0 ? limit : number("total_system_memory"))
        let policy = info["maxmemory_policy"] ?? "unknown"
        // A policy for keys with a TTL removes none where none has one.
        let sparesPersistent = policy.hasPrefix("volatile-")
        let removesNothing = policy == "noeviction" || (sparesPersistent && info.expiringKeys == 0)
        if limit > 0, removesNothing, number("used_memory") - number("mem_not_counted_for_evict") > limit {
            let why = sparesPersistent ? "no key has a TTL, so \(policy) evicts nothing" : "nothing is evicted"
            return [
                PreflightFinding(
                    .fail, .target, "memory",
                    "maxmemory of \(SizeText.bytes(limit)) is used up and \(why): the target refuses writes (OOM)",
                    remedy: "raise the target's maxmemory, or remove keys there")
            ]
        }
        if limit > 0, policy != "noeviction" {
            let what = sparesPersistent ? "keys with a TTL" : "keys"
            return [
                PreflightFinding(
                    .warn, .target, "eviction",
                    "maxmemory-policy is \(policy): the target removes \(what) when \(SizeText.bytes(limit)) are full"
                        + (sparesPersistent ? ", and refuses writes when there are none" : ""),
                    remedy: "on the target: CONFIG SET maxmemory-policy noeviction, and in its file")
            ]
        }
        return [
            PreflightFinding(
                .ok, .target, "eviction",
                limit > 0 ? "maxmemory \(SizeText.bytes(limit)), \(policy)" : "no maxmemory: nothing is evicted")
        ]
    }

    private func persistence(
        _ server: ServerConnection, _ info: ServerInfo, at place: Endpoint?
    ) async throws(ServerError) -> PreflightFinding {
        if info["rdb_last_bgsave_status"] == "err" {
            return PreflightFinding(
                .fail, .target, "persistence", "the last BGSAVE of the target failed: it may refuse writes (MISCONF)",
                remedy: "look at the target's log and its disk")
        }
        if info["aof_enabled"] == "1" { return PreflightFinding(.ok, .target, "persistence", "append-only file") }
        let save = try await server.requests([command("CONFIG", "GET", "save")], at: place)[0].array
        if let save, save.count == 2, save[1].text?.isEmpty == false {
            return PreflightFinding(
                .ok, .target, "persistence",
                "snapshots (save \(save[1].text ?? "")): after a crash the task continues from the one that is loaded")
        }
        if save == nil {
            return PreflightFinding(
                .ok, .target, "persistence", "no append-only file; CONFIG is not allowed, so snapshots are not known")
        }
        return PreflightFinding(
            .warn, .target, "persistence",
            "neither an append-only file nor snapshots: after a restart the target is empty, and a full sync is needed",
            remedy: "on the target: CONFIG SET appendonly yes, and in its file")
    }

    /// Keys of df2redis' own names that are not its own: no task starts beside them.
    private func strangers(_ answers: [(key: String, reply: RESPValue)]) -> [PreflightFinding] {
        answers.compactMap { key, reply in
            guard case .error(let text) = reply, text.hasPrefix("WRONGTYPE") else { return nil }
            return PreflightFinding(
                .fail, .target, "names",
                "the key \(key) is of another type than df2redis gives it: it is somebody else's",
                remedy:
                    "rename or remove it; checkpoint.keyPrefix and taskName give the checkpoint another name")
        }
    }

    /// Other tasks, a process that runs this one, and keys that are in their way.
    private func tasks(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        let owner = OwnershipRecord.key(
            checkpoint: options.checkpointKey, isInCluster: server.cluster != nil)
        // One key a command: in a cluster they are at different nodes.
        let replies = try await server.requests([
            command("SELECT", "0"), command("GET", owner), command("HGETALL", TaskRegistry.key),
            command("HGETALL", options.checkpointKey),
        ])
        let (record, registry, checkpoint) = (replies[1], replies[2], replies[3])
        return strangers([(owner, record), (TaskRegistry.key, registry), (options.checkpointKey, checkpoint)])
            + [cutOver(checkpoint), runner(record), otherTasks(registry)].compactMap(\.self)
    }

    private func cutOver(_ checkpoint: RESPValue) -> PreflightFinding? {
        guard TaskFindings.fields(checkpoint)[CheckpointKey.cutOverField] != nil else { return nil }
        return PreflightFinding(
            .fail, .target, "cut-over",
            "the task has been cut over, as its checkpoint says: clients write to the target since",
            remedy:
                "\(options.settings.undoCommand), if it is to follow the source again and overwrite what they wrote")
    }

    /// The process that runs the task, or has run it last.
    private func runner(_ record: RESPValue) -> PreflightFinding? {
        guard let text = record.text else { return nil }
        let process = OwnershipRecord.description(of: text)
        guard options.hasEnded(text) else {
            return PreflightFinding(
                .warn, .target, "task", "the task is run by \(process) now",
                remedy: "stop it before it is started elsewhere")
        }
        return PreflightFinding(.ok, .target, "task", "the task was last run by \(process), which has ended")
    }

    private func otherTasks(_ registry: RESPValue) -> PreflightFinding? {
        let lines = (registry.array ?? []).compactMap(\.text)
        // A task whose first start has failed is named without a database.
        let others = stride(from: 0, to: lines.count - 1, by: 2)
            .filter { lines[$0] != options.checkpointKey && !lines[$0 + 1].isEmpty }.map { lines[$0] }.sorted()
        guard !others.isEmpty else { return nil }
        return PreflightFinding(
            .warn, .target, "tasks", "other tasks fill this target: \(others.joined(separator: ", "))",
            remedy: "give each task databases of its own; HDEL \(TaskRegistry.key) removes one that is gone for good")
    }
}
