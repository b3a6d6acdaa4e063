package import Redis

/// The kind by which an incident is counted: a fixed word in the log, the dead-letter file and the metrics.
package struct IncidentKind: Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// Kinds that are not defined by another enum.
    enum Other: String, CaseIterable {
        /// The target already has a key that a conflict policy protects.
        case conflict = "conflict"
        case evicted = "evicted"
        case expiredAtTarget = "expired-at-target"
        case missingKey = "missing-key"
        case noDatabase = "no-database"
        case overLimit = "over-limit"
        case refreshRefused = "refresh-refused"
        case repeated = "repeated"
        case script = "script"
        case sharedDatabase = "shared-database"
        /// The target refuses a command because of a key that waits to be read at the source.
        case staleKey = "stale-key"
        case strayCopy = "stray-copy"
        case targetError = "target-error"
        case tooLarge = "too-large"
    }

    /// All kinds. Their counters must exist from the start, because Prometheus does not see the first increment of a
    /// counter that begins with it.
    package static var allCases: [IncidentKind] {
        Unsupported.allCases.map { Self($0) } + Divergence.allCases.map { Self($0) }
            + ExpectedRefusal.allCases.map { Self($0) } + Other.allCases.map { Self($0) }
    }

    package let description: String

    package init(_ unsupported: Unsupported) { description = unsupported.rawValue }
    init(_ divergence: Divergence) { description = divergence.rawValue }
    init(_ refusal: ExpectedRefusal) { description = refusal.rawValue }
    init(_ other: Other) { description = other.rawValue }
}
