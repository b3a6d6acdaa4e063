import Dragonfly
import Link
import Redis
package import Servers
import Wire

/// Checks both servers of a task at the moment of a cut-over. Nothing is written.
package struct CutoverPreflight: Sendable {
    /// What must be possible at the source besides reading its position.
    package struct Needs: Sendable {
        package var pauses = true
        /// Whether keys are compared, too.
        package var compares = false
        /// The number of flows of the task. The source must have as many shards.
        package var flows = 0

        package init() {}
    }

    private let servers: ServerPair
    private let needs: Needs

    package init(_ servers: ServerPair, needs: Needs) {
        self.servers = servers
        self.needs = needs
    }

    private struct Side: ServerSide {
        var findings: [PreflightFinding] = []
        var aheadMilliseconds: Int64?
    }

    package func run() async -> [PreflightFinding] {
        async let source = visit(.source, at: "\(servers.source.endpoint)") { () async throws(ServerError) in
            try await ServerConnection.source(servers.source, role: "cutover")
        } look: { (server) async throws(ServerError) in
            try await lookAtSource(server)
        }
        async let target = visit(.target, at: servers.target.place) { () async throws(ServerError) in
            try await ServerConnection.target(servers.target, role: "cutover")
        } look: { (server) async throws(ServerError) in
            try await lookAtTarget(server)
        }
        return await source + target
    }

    private func visit(
        _ subject: PreflightFinding.Subject, at place: String,
        connect: @Sendable () async throws(ServerError) -> ServerConnection,
        look: @Sendable (ServerConnection) async throws(ServerError) -> [PreflightFinding]
    ) async -> [PreflightFinding] {
        var side = Side()
        let visit = ServerVisit(subject: subject, place: place, remedy: "mend this, then run cutover again")
        await visit.run(&side, connect: connect) { (server, side) async throws(ServerError) in
            side.findings += try await look(server)
        }
        return side.findings
    }

    // MARK: The source

    private func lookAtSource(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        let offsets = try await server.requests([command("DFLY", "REPLICAOFFSET")])[0]
        if let text = offsets.errorText { throw server.refusal(text, of: command("DFLY")) }
        let shards = offsets.array?.count ?? 0
        var findings = [
            shards == needs.flows
                ? PreflightFinding(.ok, .source, "flows", "\(shards) shards, and as many flows")
                : PreflightFinding(
                    .fail, .source, "flows", "the source has \(shards) shards, the task \(needs.flows) flows",
                    remedy:
                        "the configuration names another server than the task follows: give the task's own with --config"
                )
        ]
        findings += try await rights(server)
        return findings
    }

    private func rights(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        var commands = needs.pauses ? ["CLIENT"] : []
        if needs.compares { commands += ["SELECT", "SCAN", "TYPE", "PEXPIRETIME", "GET", "INFO"] }
        guard !commands.isEmpty else { return [] }
        let user = try await SourceUser.ask(server, configured: servers.source.user)
        let dryRun = try await user.dryRun(commands, on: server)
        guard dryRun.denied.isEmpty else {
            let rules = dryRun.denied.map { "+\($0)" }.joined(separator: " ")
            let isPauseOnly = needs.pauses && dryRun.denied == ["CLIENT"]
            return [
                PreflightFinding(
                    .fail, .source, "rights", "user \(user.name) lacks \(rules)",
                    remedy: user.grant(rules)
                        + (isPauseOnly ? "; or stop the writers yourself and use --no-pause" : ""))
            ]
        }
        let list = commands.joined(separator: ", ")
        return [
            PreflightFinding(
                .ok, .source, "rights",
                dryRun.isComplete
                    ? "user \(user.name) may use \(list)"
                    : "user \(user.name) may not ask whether it may use \(list); it will be tried")
        ]
    }

    // MARK: The target

    private func lookAtTarget(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        let info = try await server.info("all")
        var findings: [PreflightFinding] = []
        let role = info["role"] ?? "unknown"
        findings.append(
            role == "master"
                ? PreflightFinding(.ok, .target, "role", "a primary")
                : PreflightFinding(
                    .fail, .target, "role", "the target is a \(role)", remedy: "clients need a primary to write to"))
        if info["loading"] == "1" {
            findings.append(
                PreflightFinding(.fail, .target, "loading", "it is loading its data", remedy: "wait until it has"))
        }
        if info["rdb_last_bgsave_status"] == "err" || info["aof_last_write_status"] == "err" {
            findings.append(
                PreflightFinding(
                    .warn, .target, "persistence", "its last save to the disk failed",
                    remedy: "look at the target's log and disk before clients depend on it"))
        }
        findings += memory(info)
        if info["cluster_enabled"] == "1" { findings += try await cluster(server) }
        return findings
    }

    private func memory(_ info: ServerInfo) -> [PreflightFinding] {
        guard let limit = info["maxmemory"].flatMap({ Int($0) }), limit > 0,
            let used = info["used_memory"].flatMap({ Int($0) })
        else { return [] }
        let text = "\(SizeText.bytes(used)) of \(SizeText.bytes(limit)) are used"
        guard used > limit / 100 * 95 else { return [PreflightFinding(.ok, .target, "memory", text)] }
        return [
            PreflightFinding(
                .warn, .target, "memory", text,
                remedy: "raise maxmemory: the clients' writes come on top of what is there")
        ]
    }

    private func cluster(_ server: ServerConnection) async throws(ServerError) -> [PreflightFinding] {
        let text = try await server.requests([command("CLUSTER", "INFO")])[0].text ?? ""
        let isFine = text.contains("cluster_state:ok")
        return [
            isFine
                ? PreflightFinding(.ok, .target, "cluster", "its state is ok")
                : PreflightFinding(
                    .fail, .target, "cluster", "its state is not ok: some slots are not served",
                    remedy: "mend the cluster first (CLUSTER INFO, CLUSTER SHARDS)")
        ]
    }
}
