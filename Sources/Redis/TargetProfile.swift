package import Wire

/// What the target is and what it understands, learnt once per connection to it.
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
    /// Changes when the server process does.
    package var runID: String
    package var hasJSON: Bool
    package var hasBloom: Bool
    package var hasFieldExpiry: Bool
    /// As its configuration has them; unknown where CONFIG is forbidden.
    package var limits = TargetLimits()
    /// Of a cluster; `nil`: it is a server by itself.
    package var masterCount: Int?
    /// The server can be told to expire nothing by itself.
    package var hasImportMode: Bool
    /// The server, and its ACL, let us use RESTORE and EVAL.
    package var hasRestore = true
    package var hasScripts = true

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

    /// What all masters of a cluster, or the one server, have in common: the oldest version and the least ability count.
    ///
    /// - Throws: `TargetError` when there is none.
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

    /// One id for the processes of all masters: it changes when one of them does.
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

    /// RESTORE takes a value of `type` as Dragonfly encodes it (type 21 becomes 19 where it must).
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

    /// RESTORE takes type 21; before Redis 7.2 consumers have no active time and the type is 19.
    package var understandsStream3: Bool { rdbVersion >= 11 }
}

extension TargetProfile: CustomStringConvertible {
    package var description: String {
        "\(flavor.rawValue) \(version)" + (masterCount.map { ", a cluster of \($0) masters" } ?? "")
    }
}
