/// What is compared, and how hard the servers may be asked.
package struct ComparisonOptions: Sendable {
    package enum Mode: String, Sendable, CaseIterable {
        /// Existence, type and TTL.
        case outline
        /// These, and the number of elements or bytes.
        case length
        /// These, and every element.
        case value
    }

    package var mode = Mode.value
    /// Of the keys, chosen by a hash of their names.
    package var samplePercent = 100.0
    /// A glob pattern, as SCAN takes it.
    package var filter: String?
    /// `nil`: all that hold a key on either side.
    package var databases: Set<UInt32>?
    /// At each server; 0: no limit.
    package var commandsPerSecond = 0
    /// Pages of keys that are compared at the same time, each over a connection to either server.
    package var parallel = 4
    /// Keys that SCAN is asked for at once.
    package var pageKeys = 512
    /// So many keys that differ are read again before the walk goes on.
    package var mostPending = 100_000
    /// How long a key that differs must have been unchanged, where nobody says how far the target has come.
    package var settle = Duration.seconds(2)
    /// How often a key that changes is read again.
    package var rounds = 8
    /// Milliseconds that a deadline at the target may be later than the source's.
    package var ttlMargins: Set<Int64> = []
    /// Keys that the target has no place for are left out on purpose, and their absence is no difference.
    package var leavesOutUnsupported = false
    /// Databases of the source that are left out on purpose.
    package var skippedDatabases: Set<UInt32> = []
    /// The key in which a task keeps its position at the target.
    package var checkpointKey: String

    package init(checkpointKey: String) { self.checkpointKey = checkpointKey }
}

/// How far a comparison has come.
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
    /// Of the source, so far.
    package var keys = 0
    /// Of the source when the comparison began; more where a filter or a sample leaves some out.
    package var expectedKeys = 0
    /// Keys that differed when they were read last, and have not been confirmed.
    package var pending = 0
    package var different = 0
    /// Keys that are left out by policy.
    package var leftOut = 0
}

/// What a comparison has found.
package struct ComparisonSummary: Sendable {
    package var mode: ComparisonOptions.Mode
    package var databases: [UInt32] = []
    /// Keys of the source that were compared.
    package var keys = 0
    /// By kind and type.
    package var differences: [KeyDifference.Kind: [String: Int]] = [:]
    /// Keys that were different each time they were read and changed in between.
    package var changing = 0
    /// Keys whose deadline at the target is later by one of df2redis' margins.
    package var lateTTLs = 0
    /// Keys of types whose values cannot be read, by type; everything but their values was compared.
    package var unread: [String: Int] = [:]
    /// Keys that a policy leaves out, and that the target lacks: of types that it has no place for, by type. No differences.
    package var leftOut: [String: Int] = [:]
    /// Keys of databases that a policy leaves out, by database, as INFO counts them: they were not looked at.
    package var leftOutDatabases: [UInt32: Int] = [:]
    package var elapsed = Duration.zero

    package var differenceCount: Int { differences.values.reduce(0) { $0 + $1.values.reduce(0, +) } }
    /// But for what is left out by policy.
    package var isEqual: Bool { differenceCount == 0 }
    package var leftOutCount: Int { (Array(leftOut.values) + Array(leftOutDatabases.values)).reduce(0, +) }

    init(mode: ComparisonOptions.Mode) { self.mode = mode }
}
