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
    case ignoredComparison = "ignored-comparison"
    case listOrder = "list-order"
    case lexOrder = "lex-order"
    case crossSlot = "cross-slot"

    /// Whether few of the commands that this is said of diverge. Their keys are read at the source, and are not reported unless
    /// no keys are read.
    package var isUnlikely: Bool { self == .listOrder || self == .lexOrder }

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
            "Dragonfly finds other places by a path of several, merges below the root of a document, and calculates with fractions, beyond 2^53 and below zero in another way than RedisJSON"
        case .ignoredComparison:
            "up to v1.40 the source ignores GT and LT of a ZADD in a sorted set that has, or has had, more than 128 members or one of more than 32 bytes: whether it has had them is not known"
        case .listOrder:
            "up to v1.39 the source may put elements of a long list in another order at a LINSERT, or at an LSET of a large value"
        case .lexOrder:
            "a ZREMRANGEBYLEX of a sorted set with different scores removes other members at the source than at a Redis"
        case .crossSlot:
            "its keys are in several slots of the cluster, and the target does not allow this user the commands that copy values between them"
        case .claimIdleTimes: "XCLAIM and XAUTOCLAIM ask for an idle time, which the target counts for itself"
        }
    }
}
