package import Wire

/// The questions that determine what a server is, and the evaluation of the answers.
package struct ProfileQuestions {
    /// The questions. None of them depends on the answer to another.
    static let all: [[String]] =
        [["INFO"]] + ["JSON.SET", "BF.ADD", "HPEXPIREAT"].map { ["COMMAND", "INFO", $0] }
        + [["CONFIG", "GET", argumentLimit, transactionLimit, databases, importMode]]

    private static let argumentLimit = "proto-max-bulk-len"
    private static let transactionLimit = "client-query-buffer-limit"
    private static let databases = "databases"
    private static let importMode = "import-mode"

    struct Findings {
        var profile: TargetProfile
        var figures: TargetFigures
        /// The number of databases of a single server; `nil` if CONFIG is forbidden.
        var databaseCount: UInt32?
        /// Whether the server expires nothing by itself; `nil` if it has no such mode or CONFIG is forbidden.
        var isInImportMode: Bool?
    }

    private let settings: TargetSettings

    /// - Parameter settings: the settings of the connection that asks.
    init(_ settings: TargetSettings) { self.settings = settings }

    /// - Parameter answers: the answers to `all`; more may follow.
    /// - Throws: `TargetError` for a server that cannot be a target.
    func findings(in answers: ArraySlice<RESPValue>) throws(TargetError) -> Findings {
        let answers = Array(answers)
        let fields = try info(answers[0])
        var profile = try profile(fields)
        profile.hasJSON = Self.isKnown(answers[1])
        profile.hasBloom = Self.isKnown(answers[2])
        profile.hasFieldExpiry = Self.isKnown(answers[3])
        let parameters = Self.parameters(answers[4])
        profile.limits = TargetLimits(
            argumentBytes: parameters[Self.argumentLimit].flatMap { Int($0) },
            transactionBytes: parameters[Self.transactionLimit].flatMap { Int($0) })
        return Findings(
            profile: profile, figures: TargetFigures(fields),
            databaseCount: parameters[Self.databases].flatMap { UInt32($0) }.flatMap { $0 > 0 ? $0 : nil },
            isInImportMode: parameters[Self.importMode].map { $0 == "yes" })
    }

    private func info(_ reply: RESPValue) throws(TargetError) -> ServerInfo {
        if case .error(let text) = reply { throw TargetError.reply(text, to: "INFO") }
        guard let text = reply.text else {
            throw TargetError(.protocolViolation, "the target's INFO is not a text")
        }
        return ServerInfo(text)
    }

    /// - Parameter fields: the fields of INFO, or of its section `server`.
    /// - Throws: `TargetError` if the server is a Dragonfly or a sentinel.
    package static func refuseOtherKinds(_ fields: ServerInfo) throws(TargetError) {
        if fields["dragonfly_version"] != nil {
            throw TargetError(
                .unsuitable, "the target is a Dragonfly; df2redis writes to Redis or Valkey (target.addr)")
        }
        if fields["redis_mode"] == "sentinel" {
            throw TargetError(
                .unsuitable, "target.addr is a sentinel's, which holds no data",
                remedy:
                    "set target.sentinel.addrs to the sentinels and target.sentinel.master to the name of their master")
        }
    }

    private func profile(_ fields: ServerInfo) throws(TargetError) -> TargetProfile {
        try Self.refuseOtherKinds(fields)
        guard let versionText = fields["redis_version"] else {
            throw TargetError(.unsuitable, "the target does not tell its redis_version: it is no Redis or Valkey")
        }
        let flavor: TargetProfile.Flavor = fields["server_name"] == "valkey" ? .valkey : .redis
        guard let version = TargetProfile.Version(fields["valkey_version"] ?? versionText) else {
            throw TargetError(.unsuitable, "the target's version \(versionText) cannot be read")
        }
        guard version >= TargetProfile.oldestVersion else {
            throw TargetError(.unsuitable, "the target is \(flavor.rawValue) \(version); 7.0 or later is needed")
        }
        let isClusterNode = fields["cluster_enabled"] == "1"
        if isClusterNode != settings.isClusterNode {
            throw TargetError(
                .unsuitable, "the target \(settings.endpoint) is \(isClusterNode ? "a" : "no") node of a cluster",
                remedy: "set target.type: \(isClusterNode ? "cluster" : "standalone")")
        }
        if fields["role"] == "slave" {
            throw TargetError(
                .notReady,
                "the target \(settings.place) (\(settings.addressKey)) is a replica of \(Self.primary(fields)): write to its primary"
            )
        }
        return TargetProfile(flavor: flavor, version: version, runID: fields["run_id"] ?? "")
    }

    /// - Parameter fields: the fields of a replica's INFO.
    private static func primary(_ fields: ServerInfo) -> String {
        guard let host = fields["master_host"] else { return "another server" }
        return fields["master_port"].map { "\(host):\($0)" } ?? host
    }

    /// - Parameter reply: the reply to CONFIG GET.
    private static func parameters(_ reply: RESPValue) -> [String: String] {
        var parameters: [String: String] = [:]
        for (name, value) in reply.pairs {
            if let name = name.text { parameters[name] = value.text }
        }
        return parameters
    }

    /// - Parameter reply: the reply to COMMAND INFO.
    private static func isKnown(_ reply: RESPValue) -> Bool {
        guard case .array(let entries?) = reply, let entry = entries.first else { return false }
        return !entry.isNull
    }
}
