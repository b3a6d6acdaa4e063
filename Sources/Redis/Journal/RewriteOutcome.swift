/// A command that concerns every flow; all flows meet at a barrier for it (Protocol 5.2).
package enum GlobalCommand: Equatable, Sendable {
    case flushAll
    case flushDatabase(UInt32)
    /// Inclusive ranges of slots.
    case flushSlots([ClosedRange<UInt16>])

    package var name: String {
        switch self {
        case .flushAll: "FLUSHALL"
        case .flushDatabase(let database): "FLUSHDB (database \(database))"
        case .flushSlots: "DFLYCLUSTER FLUSHSLOTS"
        }
    }
}

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

/// A case in which the source's stream does not contain enough to keep the target equal (Protocol 5.6).
package enum Divergence: String, Sendable, CaseIterable {
    case fragmentedSort = "fragmented-sort"
    case sortByPattern = "sort-by-pattern"
    case fragmentedGeoRadius = "fragmented-georadius"
    case storedScores = "stored-scores"
    case storedExpiry = "stored-ttl"
    case expiryInThePast = "expiry-in-the-past"
    case moveInSnapshot = "move-in-full-sync"
    case storeInSnapshot = "store-in-full-sync"
    case storeInDoubt = "store-in-doubt"
    case consumerGroupReads = "consumer-group-reads"
    case claimIdleTimes = "claim-idle-times"
    case pendingEntries = "pending-entries"
    case elementExpiryInDoubt = "element-ttl-in-doubt"
    case floatSum = "float-sum"
    case saturatedBits = "saturated-bitfield"
    case jsonModules = "json-modules"

    package var reason: String {
        switch self {
        case .fragmentedSort: "a SORT ... STORE over several shards arrives in pieces that cannot be run"
        case .sortByPattern:
            "a SORT ... STORE with BY or GET reads other keys, which a cluster does not allow, and which other flows of a server "
                + "may have changed meanwhile"
        case .fragmentedGeoRadius: "a GEORADIUS ... STORE over several shards arrives in pieces that cannot be run"
        case .storedScores:
            "the source journals the scores of a Z*STORE rounded to 6 digits, and before v1.37 not that its destination's TTL stays"
        case .storedExpiry:
            "the destination of a PFMERGE, before v1.37 of a S*STORE or Z*STORE too, keeps a TTL that the source does not "
                + "journal"
        case .expiryInThePast:
            "a PEXPIREAT in the past comes of a late GETEX, which leaves the key, or of one that deletes it"
        case .moveInSnapshot:
            "the source journals a MOVE that moves nothing as well, and during the full sync the target does not know which"
        case .storeInSnapshot:
            "during the full sync the keys that a SORT or GEORADIUS ... STORE reads may not have come yet"
        case .storeInDoubt:
            "a SORT or GEORADIUS ... STORE may be a piece without its options, and the source stores other than a Redis where it "
                + "finds nothing, counts, or is told STORE before another option"
        case .consumerGroupReads:
            "the source does not journal XREADGROUP before v1.37: groups and pending entries can differ"
        case .pendingEntries:
            "pending entries whose stream entries are deleted cannot be made again in a stream of this size"
        case .elementExpiryInDoubt:
            "a command came so near to the end of an element's TTL that the source may have had it or not: it stays"
        case .floatSum:
            "the target adds in long double where the source adds in double, and does not allow EVAL to this user"
        case .saturatedBits:
            "a BITFIELD with OVERFLOW SAT that goes below 0 of an unsigned number makes it the highest one at the source, and 0 at a Redis"
        case .jsonModules:
            "Dragonfly merges below the root of a document, and calculates with fractions, in another way than RedisJSON"
        case .claimIdleTimes: "XCLAIM and XAUTOCLAIM ask for an idle time, which the target counts for itself"
        }
    }
}

/// The result of rewriting a record by `JournalRewriter`.
package enum RewriteOutcome: Equatable, Sendable {
    /// Commands were added to the batch.
    case written
    /// Commands were added to the batch; the key may differ from the source's from here on.
    case writtenDiverging(Divergence)
    /// There is nothing to do.
    case nothing
    /// Nothing was written, and the key may differ from here on.
    case skippedDiverging(Divergence)
    /// Everything except the named part was written.
    case writtenWithout(Unsupported)
    /// Nothing was written.
    case unsupported(Unsupported)
    case global(GlobalCommand)
}
