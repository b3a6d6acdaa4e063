/// The value types of an RDB stream, by the byte that announces them.
///
/// Source: Protocol 3.6, 8.3; `src/redis/rdb.h` and `rdb_extensions.h` of Dragonfly name the same numbers.
package enum RDBType: UInt8, Sendable, CaseIterable {
    case string = 0
    case set = 2
    /// A sorted set with its scores as text. No supported master sends it.
    case zsetText = 3
    case hash = 4
    case zset = 5
    case setIntset = 11
    case zsetZiplist = 12
    case hashZiplist = 13
    case listZiplists = 14
    case stream1 = 15
    case hashListpack = 16
    case zsetListpack = 17
    case list = 18
    case stream2 = 19
    case setListpack = 20
    case stream3 = 21
    case json = 30
    case hashWithExpiry = 31
    case setWithExpiry = 32
    case bloomFilter = 33
    case bloomFilterChunked = 34
    case countMinSketch = 35
    case topK = 36
    case cuckooFilter = 37

    /// The name that `TYPE` and an operator use.
    package var name: String {
        switch self {
        case .string: "string"
        case .set, .setIntset, .setListpack: "set"
        case .zsetText, .zset, .zsetZiplist, .zsetListpack: "zset"
        case .hash, .hashZiplist, .hashListpack: "hash"
        case .listZiplists, .list: "list"
        case .stream1, .stream2, .stream3: "stream"
        case .json: "JSON"
        case .hashWithExpiry: "hash with field TTLs"
        case .setWithExpiry: "set with member TTLs"
        case .bloomFilter, .bloomFilterChunked: "bloom filter"
        case .countMinSketch: "count-min sketch"
        case .topK: "top-k"
        case .cuckooFilter: "cuckoo filter"
        }
    }

    /// Whether the whole value is one RDB string.
    package var isOneString: Bool {
        switch self {
        case .string, .setIntset, .zsetZiplist, .hashZiplist, .hashListpack, .zsetListpack, .setListpack, .json: true
        default: false
        }
    }
}
