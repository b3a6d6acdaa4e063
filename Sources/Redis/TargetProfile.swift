package import Wire

/// What the target is and what it supports, determined once for each connection.
package struct TargetProfile: Equatable, Sendable {
    package enum Flavor: String, Sendable { case redis = "Redis", valkey = "Valkey" }

    package struct Version: Comparable, Sendable, CustomStringConvertible {
        package var major: Int
        package var minor: Int
        package var patch: Int

        package init(_ major: Int, _ minor: Int, _ patch: Int = 0) {
            (self.major, self.minor, self.patch) = (major, minor, patch)
        }

        package init?(_ text: some StringProtocol) {
            let parts = text.split(separator: ".").prefix(3).map { Int($0.prefix { $0.isNumber }) }
            guard parts.count >= 2, let major = parts[0], let minor = parts[1] else { return nil }
            self.init(major, minor, parts.count > 2 ? parts[2] ?? 0 : 0)
        }

        package var description: String { "\(major).\(minor).\(patch)" }

        package static func < (a: Version, b: Version) -> Bool {
            (a.major, a.minor, a.patch) < (b.major, b.minor, b.patch)
        }
    }

    package static let oldestVersion = Version(7, 0)

    package var flavor: Flavor
    package var version: Version
    /// The run ID, which changes with the server process.
    package var runID: String
    package var hasJSON: Bool
    package var hasBloom: Bool
    package var hasFieldExpiry: Bool
    /// The limits of its configuration; unknown if CONFIG is forbidden.
    package var limits = TargetLimits()
    /// The number of masters of a cluster; `nil` for a single server.
    package var masterCount: Int?
    /// Whether the server can be told to expire nothing by itself.
    package var hasImportMode: Bool
    /// Whether the server and its ACL let us use RESTORE and EVAL.
    package var hasRestore = true
    package var hasScripts = true
    /// Whether the ACL of a cluster lets us run a command whose keys are in several slots (`CrossSlotCommand`).
    package var canCrossSlots = true

    package init(
        flavor: Flavor, version: Version, runID: String = "", hasJSON: Bool = false, hasBloom: Bool = false,
        hasFieldExpiry: Bool = false
    ) {
        self.flavor = flavor
        self.version = version
        self.runID = runID
        self.hasJSON = hasJSON
        self.hasBloom = hasBloom
        self.hasFieldExpiry = hasFieldExpiry
        hasImportMode = flavor == .valkey && version >= Version(8, 1)
    }

    /// Combines the profiles of all masters of a cluster, or takes that of the one server. The oldest version and the
    /// smallest abilities count.
    ///
    /// - Throws: `TargetError` if there is no server.
    init(sharedBy profiles: [TargetProfile], isCluster: Bool) throws(TargetError) {
        let oldest = profiles.min {
            ($0.rdbVersion, $0.hasImportMode ? 1 : 0, $0.version) < (
                $1.rdbVersion, $1.hasImportMode ? 1 : 0, $1.version
            )
        }
        guard let oldest else { throw TargetError(.notReady, "the cluster has no node that serves slots") }
        self = oldest
        guard isCluster else { return }
        masterCount = profiles.count
        runID = Self.runID(ofAll: profiles.map(\.runID))
        hasJSON = profiles.allSatisfy(\.hasJSON)
        hasBloom = profiles.allSatisfy(\.hasBloom)
        hasFieldExpiry = profiles.allSatisfy(\.hasFieldExpiry)
        hasImportMode = profiles.allSatisfy(\.hasImportMode)
        limits = TargetLimits(
            argumentBytes: profiles.compactMap(\.limits.argumentBytes).min(),
            transactionBytes: profiles.compactMap(\.limits.transactionBytes).min())
    }

    /// One ID for the processes of all masters, which changes when one of the processes does.
    static func runID(ofAll runIDs: [String]) -> String {
        guard runIDs.count > 1 else { return runIDs.first ?? "" }
        let hash = runIDs.sorted().joined(separator: " ").utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01b3
        }
        return "\(runIDs.count)-\(String(hash, radix: 16))"
    }

    /// The newest RDB version whose DUMP payloads the target reads.
    package var rdbVersion: Int {
        if version < Version(7, 2) { return 10 }
        if flavor == .valkey || version < Version(7, 4) { return 11 }
        return 12
    }

    /// Whether RESTORE takes a value of `type` as Dragonfly encodes it (type 21 becomes 19 if necessary).
    package func canRestore(_ type: RDBType) -> Bool {
        guard hasRestore else { return false }
        return switch type {
        case .string, .set, .zsetText, .hash, .zset, .setIntset, .zsetZiplist, .hashZiplist, .listZiplists, .stream1,
            .hashListpack, .zsetListpack, .list, .stream2, .stream3:
            true
        case .setListpack: rdbVersion >= 11
        case .json, .hashWithExpiry, .setWithExpiry, .bloomFilter, .bloomFilterChunked, .countMinSketch, .topK,
            .cuckooFilter:
            false
        }
    }

    /// Whether RESTORE takes type 21. Before Redis 7.2 consumers have no active time and the type is 19.
    package var understandsStream3: Bool { rdbVersion >= 11 }
}

extension TargetProfile: CustomStringConvertible {
    package var description: String {
        "\(flavor.rawValue) \(version)" + (masterCount.map { ", a cluster of \($0) masters" } ?? "")
    }
}
