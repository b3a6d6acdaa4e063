/// The journal of one shard: the next LSN and the last records, for partial sync (Protocol 2.6 and 4.4).
struct ShardJournal {
    /// The journal starts with the first `DFLY FLOW` after the master's start and then stays on.
    var isActive = false
    private(set) var next: UInt64 = 1
    /// The last records, in a ring; `ring[head]` is the oldest one once the ring is full.
    private var ring: [[UInt8]] = []
    private var head = 0
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    /// The LSN of the oldest record kept; `next` when there is none.
    var oldest: UInt64 { next - UInt64(ring.count) }

    /// Appends a record and returns its LSN.
    mutating func append(_ record: [UInt8]) -> UInt64 {
        if ring.count < capacity {
            ring.append(record)
        } else if capacity > 0 {
            ring[head] = record
            head = (head + 1) % capacity
        }
        defer { next += 1 }
        return next
    }

    /// Whether a flow can go on from `lsn` without a full sync.
    func canContinue(from lsn: UInt64) -> Bool {
        isActive && capacity > 0 && lsn >= oldest && lsn <= next && lsn > 0
    }

    /// The records from `lsn` on, with their LSNs.
    func records(from lsn: UInt64) -> [(lsn: UInt64, bytes: [UInt8])] {
        guard lsn >= oldest, lsn < next else { return [] }
        return (lsn..<next).map { (lsn: $0, bytes: ring[(head + Int($0 - oldest)) % ring.count]) }
    }

    /// Moves to the LSN at which a recording's stable stream began.
    mutating func begin(at lsn: UInt64) {
        next = lsn
        ring = []
        head = 0
    }

    /// Drops the records, as a takeover or a restart does: a flow can continue only from exactly the next LSN.
    mutating func forgetRecords() {
        ring = []
        head = 0
    }
}
