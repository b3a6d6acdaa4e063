import Link
import Redis

/// Checks the sentinels that name the target.
struct SentinelPreflight: Sendable {
    /// The minimum number of sentinels for a failover that does not depend on a single one of them.
    private static let enough = 3

    let settings: SentinelSettings
    let timeout: Duration

    func findings() async -> [PreflightFinding] {
        let answers = await SentinelAnswer.askAll(settings, timeout: timeout)
        do throws(TargetError) {
            let verdict = try SentinelVerdict(answers, name: settings.master)
            var findings = [
                PreflightFinding(
                    .ok, .target, "sentinels",
                    "'\(settings.master)' is \(verdict.master), of \(answers.count) sentinels")
            ]
            findings += verdict.remarks.map {
                PreflightFinding(
                    .warn, .target, "sentinels", $0,
                    remedy: "a failover needs most of the sentinels, of one mind: SENTINEL CKQUORUM \(settings.master)")
            }
            if settings.endpoints.count < Self.enough {
                findings.append(
                    PreflightFinding(
                        .warn, .target, "sentinels",
                        "target.sentinel.addrs names \(settings.endpoints.count) of them",
                        remedy: "name all: the target is found as long as one of those named answers"))
            }
            return findings
        } catch {
            return [
                PreflightFinding(
                    .fail, .target, "sentinels", error.message,
                    remedy: "nobody says where the target is: mend this first")
            ]
        }
    }
}
