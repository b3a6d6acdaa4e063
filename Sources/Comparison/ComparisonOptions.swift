/// What is compared, and how much load the servers may get.
package struct ComparisonOptions: Sendable {
    package enum Mode: String, Sendable, CaseIterable {
        /// Existence, type and TTL.
        case outline
        /// Existence, type, TTL, and the number of elements or bytes.
        case length
        /// Existence, type, TTL, and every element.
        case value
    }

    package var mode = Mode.value
    /// The share of the keys, which are chosen by a hash of their names.
    package var samplePercent = 100.0
    /// A glob pattern, as in SCAN.
    package var filter: String?
    /// The databases to compare; `nil` for all that hold a key on either side.
    package var databases: Set<UInt32>?
    /// The limit at each server; 0 for no limit.
    package var commandsPerSecond = 0
    /// The number of pages of keys that are compared at the same time, each over a connection to each server.
    package var parallel = 4
    /// The number of keys that one SCAN asks for.
    package var pageKeys = 512
    /// If this many keys differ, they are read again before the walk continues.
    package var mostPending = 100_000
    /// How long a differing key must have been unchanged if it is not known how far the target has come.
    package var settle = Duration.seconds(2)
    /// The maximum number of times that a changing key is read again.
    package var rounds = 8
    /// The milliseconds by which a deadline at the target may be later than the source's.
    package var ttlMargins: Set<Int64> = []
    /// Whether keys that the target cannot hold are left out on purpose, so that their absence is not a difference.
    package var leavesOutUnsupported = false
    /// Databases of the source that are left out on purpose.
    package var skippedDatabases: Set<UInt32> = []
    /// The key in which a task keeps its position at the target.
    package var checkpointKey: String

    package init(checkpointKey: String) { self.checkpointKey = checkpointKey }
}

/// The progress of a comparison.
package struct ComparisonProgress: Sendable {
    package enum Step: String, Sendable {
        /// The source's keys are compared.
        case comparing
        /// The target is searched for keys that the source lacks.
        case searching
        /// Keys that differed are read again.
        case confirming
    }

    package var step = Step.comparing
    package var database: UInt32 = 0
    /// The number of the source's keys so far.
    package var keys = 0
    /// The number of the source's keys when the comparison began. It is too high if a filter or a sample leaves some out.
    package var expectedKeys = 0
    /// The number of keys that differed when they were read last and have not been confirmed.
    package var pending = 0
    package var different = 0
    /// The number of keys that a policy leaves out.
    package var leftOut = 0
}

/// The result of a comparison.
package struct ComparisonSummary: Sendable {
    package var mode: ComparisonOptions.Mode
    package var databases: [UInt32] = []
    /// The number of the source's keys that were compared.
    package var keys = 0
    /// The number of differences by kind and type.
    package var differences: [KeyDifference.Kind: [String: Int]] = [:]
    /// The number of keys that were different each time they were read, and changed in between.
    package var changing = 0
    /// The number of keys whose deadline at the target is later by one of df2redis' margins.
    package var lateTTLs = 0
    /// The number of keys of types whose values cannot be read, by type. Everything except their values was compared.
    package var unread: [String: Int] = [:]
    /// The number of keys, by type, that the target lacks because a policy leaves out types that it cannot hold. They are
    /// not differences.
    package var leftOut: [String: Int] = [:]
    /// The number of keys in databases that a policy leaves out, by database, as INFO counts them. These keys were not read.
    package var leftOutDatabases: [UInt32: Int] = [:]
    package var elapsed = Duration.zero

    package var differenceCount: Int { differences.values.reduce(0) { $0 + $1.values.reduce(0, +) } }
    /// Whether there are no differences, apart from what a policy leaves out.
    package var isEqual: Bool { differenceCount == 0 }
    package var leftOutCount: Int { (Array(leftOut.values) + Array(leftOutDatabases.values)).reduce(0, +) }

    init(mode: ComparisonOptions.Mode) { self.mode = mode }
}
