/// Something that the target cannot hold like the source. The raw value is its name in logs, counters and the dead-letter
/// file.
package enum Unsupported: String, Sendable, CaseIterable {
    case json = "json"
    case bloom = "bloom-filter"
    case countMinSketch = "count-min-sketch"
    case topK = "top-k"
    case cuckoo = "cuckoo-filter"
    case fieldExpiry = "hash-field-ttl"
    case memberExpiry = "set-member-ttl"
    case searchIndex = "search-index"
    case throttle = "throttle"
    case unknownCommand = "unknown-command"
    case payload = "restore-payload"
    case database = "database-number"
    case reservedKey = "reserved-key"
    case scripting = "no-scripts"

    /// Whether it stops the task if the policy is to stop. Search indexes are not data, the state of a rate limiter is
    /// useless elsewhere, and reserved keys are df2redis' own.
    package var mayStop: Bool {
        switch self {
        case .searchIndex, .throttle, .reservedKey: false
        default: true
        }
    }

    /// Whether the source has only the unsupported value at the command's key, so that an older value in the target is
    /// wrong.
    package var takesTheKey: Bool {
        switch self {
        case .json, .bloom, .countMinSketch, .topK, .cuckoo, .payload: true
        case .fieldExpiry, .memberExpiry, .searchIndex, .throttle, .unknownCommand, .database, .reservedKey, .scripting:
            false
        }
    }

    /// Whether the command cannot be run but may have made a value at the source whose type the target knows.
    package var hasReadableValue: Bool {
        switch self {
        case .unknownCommand, .scripting, .payload: true
        case .json, .bloom, .countMinSketch, .topK, .cuckoo, .fieldExpiry, .memberExpiry, .searchIndex, .throttle,
            .database, .reservedKey:
            false
        }
    }

    package var reason: String {
        switch self {
        case .json: "the target has no JSON module"
        case .bloom: "Dragonfly's bloom filters cannot be loaded anywhere else"
        case .countMinSketch, .topK, .cuckoo: "the sketch cannot be loaded anywhere else"
        case .fieldExpiry:
            "the target has no TTLs on hash fields (Redis 7.4 has): the fields stay without one (policy.memberTTL: unsupported)"
        case .memberExpiry:
            "Redis has no TTLs on set members: the members stay without one (policy.memberTTL: unsupported)"
        case .searchIndex: "search indexes are not replicated"
        case .throttle: "rate limiter state is not replicated"
        case .unknownCommand: "this version does not know the command"
        case .payload: "the target cannot read the payload of this RESTORE"
        case .reservedKey: "names that begin with df2redis: are df2redis' own in the target"
        case .database: "the target has no such database"
        case .scripting: "it takes a script, and the target does not allow EVAL to this user"
        }
    }
}
