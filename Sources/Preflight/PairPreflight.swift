import Link
import Redis

/// Compares what the two servers report about themselves.
struct PairPreflight {
    /// In milliseconds. With a smaller difference a clock is accurate enough for TTLs.
    private static let clockTolerance: Int64 = 1000

    let source: SourceSide
    let target: TargetSide
    let options: PreflightOptions

    func findings() -> [PreflightFinding] { memory() + databases() + types() + clocks() }

    private func memory() -> [PreflightFinding] {
        guard let needed = source.usedBytes, let limit = target.memoryBytes, limit > 0 else { return [] }
        let free = max(0, limit - (target.usedBytes ?? 0))
        let text = "the source uses \(SizeText.bytes(needed)), the target may use \(SizeText.bytes(free)) more"
        guard free < needed else { return [PreflightFinding(.ok, .target, "memory", text)] }
        return [
            PreflightFinding(
                .warn, .target, "memory", text,
                remedy:
                    "raise the target's maxmemory or give it a larger machine; a Redis may need more than a Dragonfly for the same keys"
            )
        ]
    }

    private func databases() -> [PreflightFinding] {
        guard let count = target.databaseCount else { return [] }
        func list(_ databases: some Sequence<UInt32>) -> String {
            databases.sorted().map(String.init).joined(separator: ", ")
        }
        var findings: [PreflightFinding] = []
        let skipped = source.databases.intersection(options.skippedDatabases)
        if !skipped.isEmpty {
            findings.append(
                PreflightFinding(
                    .ok, .target, "databases", "database \(list(skipped)) of the source is left out (target.database)"))
        }
        let beyond = source.databases.subtracting(skipped).filter { $0 >= count }
        guard !beyond.isEmpty else {
            // There are no figures of a source that could not be asked.
            guard source.hasCounted else { return findings }
            let text =
                "\(counted(Int(count), "database")); the source has \(counted(source.keys, "key")) in \(source.databases.count)"
            return findings + [PreflightFinding(.ok, .target, "databases", text)]
        }
        let needed = (beyond.max() ?? 0) + 1
        let more =
            target.profile?.masterCount == nil
            ? "start the target with databases \(needed) or more"
            : "a Valkey from 9 on has more with cluster-databases \(needed)"
        let text = "the source has keys in database \(list(beyond)), the target has \(count)"
        findings.append(
            options.stopsAtUnsupported
                ? PreflightFinding(
                    .fail, .target, "databases", text,
                    remedy:
                        "\(more); or leave keys out: target.database: {<number>: skip}, or policy.onUnsupported: skip")
                : PreflightFinding(
                    .warn, .target, "databases", text,
                    remedy: "these keys are left out, as policy.onUnsupported says; \(more)"))
        return findings
    }

    private func types() -> [PreflightFinding] {
        guard let profile = target.profile, source.sampledKeys > 0 else { return [] }
        let lacking = source.types.keys.filter(profile.lacksType).sorted()
        let extent = "\(counted(source.sampledKeys, "key")) looked at"
        guard !lacking.isEmpty else {
            return [PreflightFinding(.ok, .target, "types", "it has all types of the source's (\(extent))")]
        }
        let names = lacking.map { "\($0) (\(counted(source.types[$0] ?? 0, "key")))" }.joined(separator: ", ")
        return [
            PreflightFinding(
                options.stopsAtUnsupported ? .fail : .warn, .target, "types", "it has no \(names), of \(extent)",
                remedy: options.stopsAtUnsupported
                    ? "load the module into the target, or set policy.onUnsupported: skip to leave these keys out"
                    : "these keys are left out, as policy.onUnsupported says; a module in the target would take them")
        ]
    }

    private func clocks() -> [PreflightFinding] {
        var findings: [PreflightFinding] = []
        for (subject, ahead) in [
            (PreflightFinding.Subject.source, source.aheadMilliseconds), (.target, target.aheadMilliseconds),
        ] {
            guard let ahead else { continue }
            let text = "\(abs(ahead)) ms \(ahead < 0 ? "behind" : "ahead of") this host's"
            findings.append(
                abs(ahead) <= Self.clockTolerance
                    ? PreflightFinding(.ok, subject, "clock", text)
                    : PreflightFinding(
                        .warn, subject, "clock", text,
                        remedy: "synchronize the clocks (NTP): TTLs are absolute, and end by the clock of each server"))
        }
        return findings
    }
}
