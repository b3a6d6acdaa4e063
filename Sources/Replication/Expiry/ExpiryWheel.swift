import Base
import Link
import Wire

/// The source's deadline of each volatile key, sorted so that the next keys to expire are found: a hierarchical timing
/// wheel for each flow, kept in files. So its memory is bounded, and a daemon that was killed finds the wheel again.
///
/// ```
/// time ──────┬─────────── horizon ──┬──────┬──────┬─── ─ ─ ──┬───────────── ─ ─
///            │  near: bucket 0      │ 4 s  │ 4 s  │          │ 65 s, 17 min, 5 h, 3 d ...
///           now                buckets of later deadlines: level * 16 + digit
/// ```
/// The horizon runs ahead of the clock. Deadlines before it are near; `next` returns each key once when its deadline
/// becomes near, and again on request (`reportAgain`). A deadline beyond the horizon is filed by the highest hexadecimal
/// digit in which its tick (4096 ms) differs from the horizon's. When the horizon reaches a bucket, its keys move on to
/// finer buckets: three moves for a TTL of an hour.
///
/// Each key has one entry. If a deadline is extended, only the index changes, and the entry moves on when its bucket comes
/// up. If a deadline becomes earlier, an entry is added, and the index says which of them is valid.
///
/// Not Sendable: it belongs to one flow.
final class ExpiryWheel {
    private static let nearBucket: UInt8 = 0
    private static let tickBits = 12
    private static let levels = 8
    /// The numbers of further deadlines that a key may have taken over by RENAME or MOVE.
    private static let aliases: ClosedRange<UInt8> = 1...3
    private static let fewEntries = 4096

    private let index: WheelIndex
    private let buckets: WheelBuckets
    /// Buckets being read, the nearest first.
    private var draining: [(bucket: WheelBuckets.Drain, reports: Bool)] = []
    /// The number of entries in the near bucket, and how many of them the last walk kept.
    private var nearEntries = 0
    private var nearEntriesKept = 0
    private var lastWalk: Int64 = 0
    /// The number of keys that are gone but still have entries in distant buckets.
    private var goneKeys = 0
    private var indexFailure: SystemError?

    /// Opens the wheel in `folder` or begins a new one.
    ///
    /// - Parameters:
    ///   - origin: a digest that identifies the data set. A wheel of another data set is discarded.
    ///   - next: the LSN at which the flow continues; `nil` begins a new wheel.
    ///   - boot: identifies the current boot of the machine.
    /// - Throws: `SystemError` if the files cannot be created.
    init(
        folder: String, origin: Int64, continuingAt next: UInt64?, boot: Int64? = BootID.current
    ) throws(SystemError) {
        buckets = WheelBuckets(folder: folder)
        if let next, let index = Self.openIndex(in: folder, boot), index[.origin] == origin,
            index[.next] >= Int64(bitPattern: next)
        {
            self.index = index
            isContinued = true
            resume(boot)
            return
        }
        isContinued = false
        try WheelFolder.remove(folder)
        try WheelFolder.make(folder)
        let index = try WheelIndex(creating: "\(folder)/index")
        self.index = index
        index[.origin] = origin
        index[.boot] = boot ?? 0
    }

    /// Opens the wheel in `folder`, whichever data set it belongs to.
    ///
    /// - Returns: `nil` if there is no wheel that can be trusted.
    init?(reopening folder: String, boot: Int64? = BootID.current) {
        guard let index = Self.openIndex(in: folder, boot) else { return nil }
        self.index = index
        buckets = WheelBuckets(folder: folder)
        isContinued = true
        resume(boot)
    }

    private static func openIndex(in folder: String, _ boot: Int64?) -> WheelIndex? {
        guard let index = WheelIndex(opening: "\(folder)/index") else { return nil }
        // Pages that the kernel has not written are lost if the machine stops without a shutdown.
        return index[.boot] == boot || index[.isClean] == 1 ? index : nil
    }

    private func resume(_ boot: Int64?) {
        index[.isClean] = 0
        index[.boot] = boot ?? 0
        draining = buckets.findFiles().map { ($0, true) }
        reportAgain()
    }

    /// Whether the wheel holds the notes of an earlier process.
    let isContinued: Bool

    /// The margin that near deadlines had when it was last set.
    var margin: Int64 {
        get { index[.margin] }
        set { index[.margin] = newValue }
    }

    var isEmpty: Bool { index.count == 0 }
    var count: Int { index.count }
    /// Whether there may be keys to report.
    var hasWork: Bool { !draining.isEmpty }

    /// Returns the first write failure since the last call. Deadlines that could not be written are not known.
    func takeFailure() -> SystemError? {
        defer { indexFailure = nil }
        return indexFailure ?? buckets.takeFailure()
    }

    /// Marks everything noted so far as part of a batch that ends before the LSN `next`. The notes survive the process from
    /// here on.
    func seal(next: UInt64) {
        buckets.flush()
        if next > 0 { index[.next] = Int64(bitPattern: next) }
    }

    /// Writes everything to the disk and marks the wheel as clean. This is the last call of a process that ends normally.
    func close() {
        buckets.flush()
        index.flush()
        index[.isClean] = 1
        index.flush()
    }

    // MARK: Noting

    private var horizonTick: Int64 {
        get { index[.horizonTick] }
        set { index[.horizonTick] = newValue }
    }

    private func bucket(_ deadline: Int64) -> UInt8 {
        let tick = deadline >> Self.tickBits
        let horizonTick = horizonTick
        guard tick > horizonTick else { return Self.nearBucket }
        let level = (63 - (tick ^ horizonTick).leadingZeroBitCount) / 4
        return UInt8(level * 16) + UInt8(tick >> (level * 4) & 15)
    }

    /// Notes that the source has given `key` this deadline.
    ///
    /// - Returns: whether the deadline is near; `nil` if it could not be noted.
    func note(_ key: RawSpan, database: UInt32, deadline: Int64) -> Bool? {
        let fingerprint = index.fingerprint(key, database: database)
        var old = index[fingerprint]
        if old?.hasAliases == true {
            removeAliases(fingerprint)
            old = index[fingerprint]
        }
        return note(key, database: database, deadline: deadline, alias: 0, fingerprint, over: old)
    }

    /// - Parameter old: the state that the index has for the key.
    private func note(
        _ key: RawSpan, database: UInt32, deadline: Int64, alias: UInt8, _ fingerprint: UInt64,
        over old: WheelIndex.State?
    ) -> Bool? {
        guard deadline < WheelIndex.State.endOfTime, deadline > 0, key.byteCount <= WheelBuckets.longestKey else {
            // Such a deadline is not tracked: it is out of range, or the key is too long for an entry.
            if old != nil { mark(fingerprint) }
            return nil
        }
        let bucket = bucket(deadline)
        // An entry in a distant bucket comes up early enough for any later deadline.
        let isFiled = old.map { $0.place == bucket || $0.place != Self.nearBucket && $0.place < bucket } ?? false
        let place = isFiled ? old?.place ?? bucket : bucket
        do throws(SystemError) {
            try index.set(fingerprint, .init(deadline: deadline, place: place))
        } catch {
            indexFailure = indexFailure ?? error
            return nil
        }
        if !isFiled { put(key, database: database, alias: alias, in: bucket) }
        return bucket == Self.nearBucket
    }

    private func put(_ key: RawSpan, database: UInt32, alias: UInt8, in bucket: UInt8) {
        if bucket == Self.nearBucket { nearEntries += 1 }
        buckets.put(key, database: database, alias: alias, in: bucket)
    }

    /// Notes that the key is gone, and its deadline with it.
    func remove(_ key: RawSpan, database: UInt32) {
        let fingerprint = index.fingerprint(key, database: database)
        guard let state = index[fingerprint] else { return }
        if state.hasAliases { removeAliases(fingerprint) }
        mark(fingerprint)
    }

    /// Marks the key as gone. Its entry stays in its bucket and is not reported any more.
    private func mark(_ fingerprint: UInt64) {
        guard var state = index[fingerprint], !state.isGone else { return }
        state.isGone = true
        try? index.set(fingerprint, state)
        if state.place != Self.nearBucket { goneKeys += 1 }
    }

    private func removeAliases(_ fingerprint: UInt64) {
        for alias in Self.aliases { mark(WheelIndex.aliased(fingerprint, alias)) }
        guard var state = index[fingerprint] else { return }
        state.hasAliases = false
        try? index.set(fingerprint, state)
    }

    /// Returns the deadlines that a key may have. There is only one unless another key was renamed or moved to it.
    func deadlines(of key: RawSpan, database: UInt32) -> [Int64] {
        let fingerprint = index.fingerprint(key, database: database)
        guard let state = index[fingerprint] else { return [] }
        var found = state.isGone ? [] : [state.deadline]
        guard state.hasAliases else { return found }
        for alias in Self.aliases {
            if let other = index[WheelIndex.aliased(fingerprint, alias)], !other.isGone {
                found.append(other.deadline)
            }
        }
        return found
    }

    /// Notes that the key has either this deadline or one of its known deadlines.
    func noteAlternative(_ key: RawSpan, database: UInt32, deadline: Int64) {
        if deadlines(of: key, database: database).contains(deadline) { return }
        let fingerprint = index.fingerprint(key, database: database)
        guard var state = index[fingerprint], !state.isGone || state.hasAliases else {
            _ = note(key, database: database, deadline: deadline)
            return
        }
        // If all aliases are in use, the last one is overwritten. Its deadline keeps its margin until the source's DEL.
        let free = Self.aliases.first { index[WheelIndex.aliased(fingerprint, $0)]?.isGone != false }
        let alias = free ?? Self.aliases.upperBound
        state.hasAliases = true
        try? index.set(fingerprint, state)
        let aliased = WheelIndex.aliased(fingerprint, alias)
        _ = note(
            key, database: database, deadline: deadline, alias: alias, aliased, over: index[aliased])
    }

    // MARK: Reporting near keys

    /// Moves the horizon to `time`. Keys with deadlines up to then come up from here on.
    func advance(to time: Int64) {
        let (old, new) = (horizonTick, time >> Self.tickBits)
        guard new > old else { return }
        horizonTick = new
        let highest = (63 - (new ^ old).leadingZeroBitCount) / 4
        var due: [UInt8] = []
        for level in 0..<Self.levels where level <= highest {
            let last = level == highest ? new >> (level * 4) & 15 : 15
            due += (1...15).filter { $0 <= last }.map { UInt8(level * 16 + $0) }
        }
        drain(due)
        if goneKeys > 100_000, goneKeys > count / 2 {
            goneKeys = 0
            drain(Array(1...127))
        }
    }

    private func drain(_ numbers: [UInt8]) {
        for number in numbers {
            if let bucket = buckets.drain(number) { draining.append((bucket, false)) }
        }
    }

    /// Walks the near keys and discards those whose time has passed, if the near bucket has grown or the last walk is long
    /// ago.
    func tidy(now: Int64, interval: Int64) {
        guard nearEntries > 0, !draining.contains(where: { $0.bucket.bucket == Self.nearBucket }),
            nearEntries > 2 * nearEntriesKept + Self.fewEntries || now - lastWalk >= interval
        else { return }
        lastWalk = now
        walk(reports: false)
    }

    /// Reports every near key once more.
    func reportAgain() {
        for place in draining.indices { draining[place].reports = true }
        walk(reports: true)
    }

    private func walk(reports: Bool) {
        guard let bucket = buckets.drain(Self.nearBucket) else { return }
        nearEntries = 0
        draining.append((bucket, reports))
    }

    /// Returns the next key that has become near or must be reported again.
    ///
    /// - Parameter margin: a key is forgotten once its deadline plus this margin has passed.
    /// - Returns: `nil` if there is none now.
    func next(now: Int64, margin: Int64) -> (entry: WheelBuckets.Entry, deadline: Int64)? {
        while let (bucket, reports) = draining.first {
            guard let entry = bucket.next() else {
                draining.removeFirst()
                if bucket.bucket == Self.nearBucket { nearEntriesKept = nearEntries }
                continue
            }
            if let deadline = moveOn(entry, from: bucket.bucket, reports: reports, now: now, margin: margin) {
                return (entry, deadline)
            }
        }
        return nil
    }

    /// Moves an entry to the bucket where it belongs now, or discards it.
    ///
    /// - Returns: the deadline if it must be reported.
    private func moveOn(
        _ entry: WheelBuckets.Entry, from bucket: UInt8, reports: Bool, now: Int64, margin: Int64
    ) -> Int64? {
        let key = entry.key.span.bytes
        let fingerprint = index.fingerprint(key, database: entry.database, alias: entry.alias)
        guard var state = index[fingerprint], state.place == bucket else { return nil }
        if state.isGone {
            index.remove(fingerprint)
            if bucket != Self.nearBucket { goneKeys = max(goneKeys - 1, 0) }
            return nil
        }
        let place = self.bucket(state.deadline)
        if place == Self.nearBucket, state.deadline + margin <= now {
            index.remove(fingerprint)
        } else {
            put(key, database: entry.database, alias: entry.alias, in: place)
            let hadAliases = state.hasAliases
            state = .init(deadline: state.deadline, place: place)
            state.hasAliases = hadAliases
            try? index.set(fingerprint, state)
        }
        return place == Self.nearBucket && (reports || bucket != Self.nearBucket) ? state.deadline : nil
    }
}
