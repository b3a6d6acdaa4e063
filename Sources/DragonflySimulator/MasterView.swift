/// The master's replies to INFO and ROLE (Protocol 7).
struct MasterView {
    let core: MasterCore

    private func lag(of session: Session) -> UInt64 {
        guard session.state == .stable else { return 0 }
        return session.flows.reduce(0) { most, flow in
            guard let flow else { return most }
            return max(most, core.journals[flow.shard].next &- (flow.lastAcknowledged ?? 0))
        }
    }

    func info(_ section: String?) -> String {
        var lines: [String] = []
        let isEverything = section == nil || section == "ALL" || section == "EVERYTHING" || section == "DEFAULT"
        if isEverything || section == "SERVER" {
            lines += ["# Server", "redis_version:7.4.0"]
            if !core.options.isRedis { lines.append("dragonfly_version:\(core.options.version)") }
            lines += ["redis_mode:standalone", "arch_bits:64", "thread_count:\(core.options.shardCount)", ""]
        }
        if isEverything || section == "PERSISTENCE" {
            lines += ["# Persistence", "loading:\(core.isLoading ? 1 : 0)", ""]
        }
        if section == "ALL" || section == "EVERYTHING" || section == "COMMANDSTATS" {
            lines.append("# Commandstats")
            for (name, count) in core.calls.sorted(by: { $0.key < $1.key }) {
                lines.append("cmdstat_\(name):calls=\(count),usec=\(count),usec_per_call=1")
            }
            lines.append("")
        }
        if isEverything || section == "REPLICATION" {
            let role = core.isReplica ? "slave" : "master"
            lines += ["# Replication", "role:\(role)", "connected_slaves:\(core.sessions.count)"]
            for (index, session) in core.sessions.enumerated() {
                lines.append(
                    "slave\(index):ip=\(session.announcedAddress),port=\(session.listeningPort),"
                        + "state=\(session.state.rawValue),lag=\(lag(of: session))")
            }
            lines += ["master_replid:\(core.replicationID)", ""]
        }
        if isEverything || section == "KEYSPACE", let store = core.store {
            lines.append("# Keyspace")
            for (database, keys) in store.keyCounts { lines.append("db\(database):keys=\(keys),expires=0,avg_ttl=-1") }
            lines.append("")
        }
        return lines.joined(separator: "\r\n")
    }

    func role() -> Reply {
        let replicas = core.sessions.map { session in
            Reply.array([
                .text(session.announcedAddress), .text(String(session.listeningPort)), .text(session.state.rawValue),
            ])
        }
        return .array([.text("master"), .array(replicas)])
    }
}
