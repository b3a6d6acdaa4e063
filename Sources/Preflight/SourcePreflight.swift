import Dragonfly
import Link
import Redis
import Replication
import Servers
import Wire

/// What a look at the source has given.
struct SourceSide: ServerSide, Sendable {
    var findings: [PreflightFinding] = []
    /// It has been asked how many keys it has.
    var hasCounted = false
    var usedBytes: Int?
    var databases: Set<UInt32> = []
    var keys = 0
    /// Keys of each type in a sample, and how many were looked at.
    var types: [String: Int] = [:]
    var sampledKeys = 0
    var shards: Int?
    var aheadMilliseconds: Int64?
    /// What clients send, in bytes a second.
    var inputRate: Double?
}

/// Looks at the source.
struct SourcePreflight: Sendable {
    /// The first release whose streams are known.
    private static let oldest = SourceVersion(1, 31, 0)
    /// `shard_repl_backlog_len` as a master has it, which does not say it (Protocol 2.10).
    static let backlogRecords = 8192

    private let options: PreflightOptions
    private var settings: SourceSettings { options.settings.source }

    init(_ options: PreflightOptions) { self.options = options }

    func run() async -> SourceSide {
        var side = SourceSide()
        let visit = ServerVisit(
            subject: .source, place: "\(settings.endpoint)",
            remedy: "nothing more could be asked of the source: mend this first, then run preflight again")
        await visit.run(&side) { () async throws(ServerError) in
            try await ServerConnection.source(settings, role: "preflight")
        } look: { (server, side) async throws(ServerError) in
            try await look(server, &side)
        }
        return side
    }

    private func look(_ server: ServerConnection, _ side: inout SourceSide) async throws(ServerError) {
        side.findings += try await CertificatePreflight(subject: .source, tls: settings.tls).findings(server)
        let info = try await server.info("all")
        let version = info["dragonfly_version"].flatMap { SourceVersion($0) }
        side.findings.append(judge(info["dragonfly_version"], version))
        guard info["dragonfly_version"] != nil else { return }
        try await side.findings.append(role(server, info))
        side.findings += try await rights(server)
        side.usedBytes = info["used_memory"].flatMap { Int($0) }
        try await rates(server, info, version, &side)
        let counts = try await server.keyCounts()
        side.databases = Set(counts.filter { $0.value > 0 }.keys)
        side.keys = counts.values.reduce(0, +)
        side.hasCounted = true
        try await sample(server, &side)
    }

    private func judge(_ text: String?, _ version: SourceVersion?) -> PreflightFinding {
        guard let text else {
            return PreflightFinding(
                .fail, .source, "version", "\(settings.endpoint) is not a Dragonfly",
                remedy: "set source.addr to the Dragonfly master")
        }
        guard let version else {
            return PreflightFinding(
                .warn, .source, "version", "Dragonfly \(text), which is no release",
                remedy: "try it with a copy first: its streams may have what this version cannot decode")
        }
        if version < Self.oldest {
            return PreflightFinding(
                .fail, .source, "version", "Dragonfly \(version); \(Self.oldest) or later is needed",
                remedy: "upgrade the source")
        }
        if version < SourceVersion.continuing {
            return PreflightFinding(
                .warn, .source, "version", "Dragonfly \(version): every restart makes a full sync",
                remedy: "\(SourceVersion.continuing) or later continues where a restart has left")
        }
        return PreflightFinding(.ok, .source, "version", "Dragonfly \(version)")
    }

    private func role(
        _ server: ServerConnection, _ info: ServerInfo
    ) async throws(ServerError) -> PreflightFinding {
        let reply = try await server.requests([command("ROLE")])[0]
        let role = reply.array?.first?.text ?? info["role"] ?? "unknown"
        guard role == "master" else {
            return PreflightFinding(
                .fail, .source, "role", "the source is a \(role == "slave" ? "replica" : role): it takes no replicas",
                remedy: "set source.addr to its master, or promote it")
        }
        if info["loading"] == "1" {
            return PreflightFinding(
                .warn, .source, "role", "a master that is loading its data", remedy: "a start waits until it has")
        }
        return PreflightFinding(
            .ok, .source, "role", "master, \(counted(info["connected_slaves"].flatMap { Int($0) } ?? 0, "replica"))")
    }

    private func rights(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        let user = try await SourceUser.ask(server, configured: settings.user)
        let session = try await sessionRights(of: user, on: server)
        return session.level == .fail ? [session] : [session] + (try await readingRights(of: user, on: server))
    }

    /// What a replica's session needs.
    private func sessionRights(
        of user: SourceUser, on server: ServerConnection
    ) async throws(ServerError) -> PreflightFinding {
        // Two of them do no harm, and are tried.
        let tried = try await server.requests([command("DFLY", "REPLICAOFFSET"), command("TIME")])
        let dryRun = try await user.dryRun(["DFLY", "REPLCONF", "PING", "INFO", "TIME"], on: server)
        let refused = zip(["DFLY", "TIME"], tried).filter { $1.errorText?.hasPrefix("NOPERM") == true }.map(\.0)
        let missing = Set(dryRun.denied + refused)
        guard missing.isEmpty else {
            let rules = missing.sorted().map { "+\($0)" }.joined(separator: " ")
            return PreflightFinding(
                .fail, .source, "rights", "user \(user.name) lacks \(rules)", remedy: user.grant(rules))
        }
        let extent =
            dryRun.isComplete
            ? "may do all that a replica does" : "may use DFLY; it may not ask whether REPLCONF is allowed"
        return PreflightFinding(.ok, .source, "rights", "user \(user.name) \(extent)")
    }

    private func readingRights(
        of user: SourceUser, on server: ServerConnection
    ) async throws(ServerError) -> [PreflightFinding] {
        var findings: [PreflightFinding] = []
        for reading in Self.reading {
            let commands = reading.rights.split(separator: " ").filter { $0.hasPrefix("+") }
            let denied = try await user.dryRun(commands.map { String($0.dropFirst()) }, on: server).denied
            if denied.isEmpty { continue }
            let rules = denied.map { "+\($0)" }.joined(separator: " ")
            findings.append(
                PreflightFinding(
                    .warn, .source, "refresh", "user \(user.name) lacks \(rules): \(reading.loss)",
                    remedy: user.grant(reading.rights)))
        }
        return findings
    }

    /// What reading keys at the source needs beside the rights of a replica, and what is lost without.
    private static let reading: [(rights: String, loss: String)] = [
        (ValueReader.rights, "keys that the journal says too little of are only counted"),
        (
            PieceReader.rights,
            "values of more than 1 MiB are read at one stroke, which keeps the source's clients waiting"
        ),
        (
            StreamWalk.rights,
            "before v1.37, after a restart, streams that consumers have read are not found at a leave or a cut-over"
        ),
    ]

    // MARK: Shards and rates

    private func rates(
        _ server: ServerConnection, _ before: ServerInfo, _ version: SourceVersion?, _ side: inout SourceSide
    ) async throws(ServerError) {
        let start = ContinuousClock.now
        let first = try await offsets(server)
        do { try await Task.sleep(for: options.interval) } catch { throw .cancelled }
        let second = try await offsets(server)
        let after = try await server.info("stats")
        let seconds = start.duration(to: .now).secondsAsDouble
        func input(_ info: ServerInfo) -> Double? { info["total_net_input_bytes"].flatMap { Double($0) } }
        if let before = input(before), let after = input(after) { side.inputRate = max(0, after - before) / seconds }
        side.shards = second?.count
        guard let first, let second, first.count == second.count, !second.isEmpty else {
            side.findings.append(
                PreflightFinding(
                    .warn, .source, "backlog", "the source does not give its journal's position",
                    remedy: "the user needs +DFLY"))
            return
        }
        side.findings.append(
            PreflightFinding(
                .ok, .source, "flows", "\(counted(second.count, "shard")): a task makes \(second.count + 3) connections"
            ))
        side.findings.append(backlog(from: first, to: second, seconds: seconds, version))
    }

    /// How long a replica may be away until the source no longer has the records that it lacks.
    ///
    /// - Parameters:
    ///   - first: the next LSN of each shard, and `second` the same after so many `seconds`.
    private func backlog(
        from first: [UInt64], to second: [UInt64], seconds: Double, _ version: SourceVersion?
    ) -> PreflightFinding {
        guard second.contains(where: { $0 > 0 }) else {
            return PreflightFinding(
                .ok, .source, "backlog",
                "no replica has followed this master yet: how fast its journal grows is not known before one does")
        }
        let busiest = zip(first, second).map { Double($1 - min($0, $1)) / seconds }.max() ?? 0
        let records = version.map { $0 < SourceVersion(1, 34, 0) } == true ? 1024 : Self.backlogRecords
        guard busiest > 0 else {
            return PreflightFinding(
                .ok, .source, "backlog", "\(records) records a shard by default, and no writes now")
        }
        let lasting = Double(records) / busiest
        let text =
            "\(records) records a shard by default: \(SizeText.seconds(lasting)) at the present \(Int(busiest)) records a second of the busiest shard"
        guard lasting < 60 else { return PreflightFinding(.ok, .source, "backlog", text) }
        return PreflightFinding(
            .warn, .source, "backlog", text,
            remedy:
                "a restart that takes longer makes a full sync: start the source with a larger --shard_repl_backlog_len"
        )
    }

    /// The next LSN of each shard; `nil` when the source does not say.
    private func offsets(_ server: ServerConnection) async throws(ServerError) -> [UInt64]? {
        let reply = try await server.requests([command("DFLY", "REPLICAOFFSET")])[0]
        return reply.array.map { $0.compactMap { $0.int.map { UInt64(clamping: $0) } } }
    }

    // MARK: Data

    /// Looks at the types of some keys of each database.
    private func sample(_ server: ServerConnection, _ side: inout SourceSide) async throws(ServerError) {
        var reserved = 0
        for database in side.databases.sorted() {
            var (cursor, left) = ("0", options.sampleKeys / max(1, side.databases.count))
            repeat {
                let select = command("SELECT", "\(database)")
                let replies = try await server.requests([select, command("SCAN", cursor, "COUNT", "500")])
                guard let parts = replies[1].array, parts.count == 2, let next = parts[0].text else {
                    side.findings.append(
                        PreflightFinding(
                            .warn, .source, "types",
                            "the source does not give its keys: \(replies[1].errorText ?? "no page of keys")",
                            remedy:
                                "types that the target lacks are not known before the full sync meets them; the user needs +SCAN +TYPE +SELECT for this"
                        ))
                    return
                }
                cursor = next
                let keys = (parts[1].array ?? []).compactMap(\.bytes)
                reserved += keys.count { key in
                    options.ownPrefixes.contains { key.starts(with: $0.utf8) }
                }
                for reply in try await server.requests(keys.map { command("TYPE", $0) }) {
                    if let type = reply.text, type != "none" { side.types[type, default: 0] += 1 }
                }
                side.sampledKeys += keys.count
                left -= keys.count
            } while cursor != "0" && left > 0
        }
        if reserved > 0 {
            side.findings.append(
                PreflightFinding(
                    .warn, .source, "names",
                    "\(reserved) of \(side.sampledKeys) keys looked at have names that begin with df2redis:",
                    remedy: "such names are reserved: these keys are not replicated; rename them if they matter"))
        }
    }
}
