package import Servers

/// Looks at both servers and at this host before a task runs: nothing is written, and no session is made at the source.
///
/// The source is asked with PING, INFO, ROLE, ACL WHOAMI, ACL DRYRUN, SCAN, TYPE, TIME and DFLY REPLICAOFFSET only: some
/// orders of a session's commands end a master (Protocol 0.3).
package struct StartPreflight: Sendable {
    private let servers: ServerPair
    private let options: PreflightOptions

    package init(_ servers: ServerPair, options: PreflightOptions) {
        self.servers = servers
        self.options = options
    }

    /// All that was found, side by side: a server that cannot be reached is a finding too.
    package func run() async -> [PreflightFinding] {
        async let source = SourcePreflight(servers.source, options: options).run()
        async let target = TargetPreflight(servers.target, options: options).run()
        let (sourceSide, targetSide) = await (source, target)
        var findings = sourceSide.findings + targetSide.findings
        findings += PairPreflight(source: sourceSide, target: targetSide, options: options).findings()
        findings += HostPreflight(options: options, source: sourceSide).findings()
        return findings
    }
}
