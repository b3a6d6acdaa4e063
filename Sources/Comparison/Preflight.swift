import Dragonfly
import Link
import Redis
import Wire

/// What a preflight has to know of the task.
package struct PreflightOptions: Sendable {
    /// The key of the task's checkpoint in the target.
    package var checkpointKey: String
    /// The names of all checkpoints of tasks begin with it.
    package var ownPrefixes: Set<String> = ["df2redis:"]
    /// Data that the target has no place for ends the task.
    package var stopsAtUnsupported = true
    /// Databases of the source that are left out on purpose.
    package var skippedDatabases: Set<UInt32> = []
    /// Its name, for commands that are proposed.
    package var task = "TASK"
    /// The field of the checkpoint that says that the task has been cut over.
    package var cutOverField = "cutover"
    /// Whether the process that an owner's record names has certainly ended.
    package var hasEnded: @Sendable (_ owner: String) -> Bool = { _ in false }
    package var stateDirectory = ""
    package var spoolDirectory = ""
    package var spoolDiskBytes = 0
    package var spoolMemoryBytes = 0
    /// How long write rates are measured.
    package var interval = Duration.seconds(1)
    /// Keys of the source whose types are looked at.
    package var sampleKeys = 5000

    package init(checkpointKey: String) { self.checkpointKey = checkpointKey }
}

/// Looks at both servers and at this host before a task runs: nothing is written, and no session is made at the source.
///
/// The source is asked with PING, INFO, ROLE, ACL WHOAMI, ACL DRYRUN, SCAN, TYPE, TIME and DFLY REPLICAOFFSET only: some
/// orders of a session's commands end a master (Protocol 0.3).
package struct Preflight: Sendable {
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

/// How far another clock is ahead of ours, and how long a request takes.
enum ClockReading {
    /// - Returns: the shortest of five round trips; `nil` for the clock when the server does not give its time.
    static func take(_ server: ServerConnection) async throws(ComparisonError) -> (Duration, aheadMilliseconds: Int64?)
    {
        var best = Duration.seconds(3600)
        for _ in 0..<5 {
            let start = ContinuousClock.now
            _ = try await server.demand("PING")
            best = min(best, start.duration(to: .now))
        }
        let start = WallClock.milliseconds()
        let reply = try await server.requests([command("TIME")])[0]
        let end = WallClock.milliseconds()
        guard let parts = reply.array, parts.count == 2, let seconds = parts[0].int, let micros = parts[1].int,
            (0..<(1 << 40)).contains(seconds), (0..<1_000_000).contains(micros)
        else { return (best, nil) }
        return (best, seconds * 1000 + micros / 1000 - (start + (end - start) / 2))
    }

    static func text(_ roundTrip: Duration) -> String {
        "\((roundTrip.secondsAsDouble * 10_000).rounded() / 10) ms"
    }
}
