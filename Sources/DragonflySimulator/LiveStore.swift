/// The key space of a live master: values by shard, database and key, with their expiries.
///
/// Owned by `MasterCore`. A full sync copies a shard's databases; the copies share their memory until a write.
final class LiveStore {
    struct Entry {
        var value: Value
        /// Unix milliseconds; `nil`: never.
        var expiresAt: Int64?
    }

    typealias Database = [[UInt8]: Entry]

    struct Deadline: Comparable {
        let time: Int64
        let shard: Int
        let database: Int
        let key: [UInt8]

        static func < (a: Self, b: Self) -> Bool { a.time < b.time }
    }

    let shardCount: Int
    var shards: [[Int: Database]]
    /// All deadlines that were set. One that no longer equals its entry's `expiresAt` is outdated.
    private var deadlines = MinimumHeap<Deadline>()

    init(shardCount: Int) {
        self.shardCount = shardCount
        shards = Array(repeating: [:], count: shardCount)
    }

    func shard(of key: [UInt8]) -> Int { KeyHash.shard(of: key, count: shardCount) }

    var hasExpiries: Bool { !deadlines.isEmpty }

    /// The number of keys of each database that is not empty.
    var keyCounts: [(database: Int, keys: Int)] {
        var counts: [Int: Int] = [:]
        for shard in shards {
            for (database, entries) in shard where !entries.isEmpty { counts[database, default: 0] += entries.count }
        }
        return counts.sorted { $0.key < $1.key }.map { (database: $0.key, keys: $0.value) }
    }

    func keys(in database: Int) -> [[UInt8]] { shards.flatMap { $0[database].map { Array($0.keys) } ?? [] } }

    func fill(_ dataSet: SyntheticDataSet) {
        for index in 0..<dataSet.keys {
            let entry = dataSet.entry(at: index)
            self[entry.database, entry.key] = Entry(value: entry.value, expiresAt: entry.expiresAt)
        }
    }

    subscript(database: Int, key: [UInt8]) -> Entry? {
        get { shards[shard(of: key)][database]?[key] }
        set {
            let shard = shard(of: key)
            if let time = newValue?.expiresAt {
                deadlines.insert(Deadline(time: time, shard: shard, database: database, key: key))
            }
            shards[shard][database, default: [:]][key] = newValue
        }
    }

    /// Takes the value out, so that it can be changed in place, and leaves a placeholder.
    func takeValue(_ database: Int, _ key: [UInt8]) -> Value? {
        let shard = shard(of: key)
        guard let value = shards[shard][database]?[key]?.value else { return nil }
        shards[shard][database]?[key]?.value = .string([])
        return value
    }

    /// Puts a changed value back; an empty collection removes its key.
    func putValue(_ database: Int, _ key: [UInt8], _ value: Value) {
        let shard = shard(of: key)
        if value.isEmptyCollection {
            shards[shard][database]?[key] = nil
        } else if shards[shard][database]?[key] != nil {
            shards[shard][database]?[key]?.value = value
        } else {
            shards[shard][database, default: [:]][key] = Entry(value: value)
        }
    }

    /// Removes and returns the next valid deadline that has passed; `nil` if there is none.
    func nextExpired(now: Int64) -> Deadline? {
        while let first = deadlines.first, first.time <= now {
            deadlines.removeFirst()
            if shards[first.shard][first.database]?[first.key]?.expiresAt == first.time { return first }
        }
        return nil
    }

    func flush(database: Int?) {
        for shard in shards.indices {
            if let database { shards[shard][database] = nil } else { shards[shard] = [:] }
        }
    }
}

/// A binary heap with its least element first.
struct MinimumHeap<Element: Comparable> {
    private var elements: [Element] = []

    var isEmpty: Bool { elements.isEmpty }
    var first: Element? { elements.first }

    mutating func insert(_ element: Element) {
        elements.append(element)
        var child = elements.count - 1
        while child > 0, elements[child] < elements[(child - 1) / 2] {
            elements.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeFirst() {
        elements.swapAt(0, elements.count - 1)
        elements.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < elements.count && elements[child] < elements[least] {
                least = child
            }
            if least == parent { return }
            elements.swapAt(parent, least)
            parent = least
        }
    }
}
