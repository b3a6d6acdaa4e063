import Link
import Wire

/// What the source's deadline of each volatile key is, and which keys come up next: one book a flow, in files, so that
/// memory stays bounded and a daemon that is killed finds it again.
///
/// ```
/// time ──────┬────────────── front ──┬──────┬──────┬─── ─ ─ ──┬───────────── ─ ─
///            │  near: shelf 0        │ 4 s  │ 4 s  │          │ 65 s, 17 min, 5 h, 3 d ...
///           now                shelves of deadlines further on: level * 16 + digit
/// ```
/// The front runs ahead of the clock. What lies before it is near; `next` tells each key once as it gets there, and
/// again for the asking (`retell`). A deadline beyond is filed by the highest hexadecimal digit in which its tick (4096 ms)
/// differs from the front's: a shelf comes up when the front reaches it, and what is on it moves on to finer ones, three
/// moves for a TTL of an hour.
///
/// One entry a key: a deadline that is put off only changes the index, and the entry moves on when its shelf comes up; for
/// one that is brought forward an entry is added, and the index says which of them counts.
///
/// Not Sendable: it belongs to one flow.
final class DeadlineBook {
    private static let nearShelf: UInt8 = 0
    private static let tickBits = 12
    private static let levels = 8
    /// Deadlines that a key may have taken over by RENAME or MOVE, besides its own.
    private static let aliases: ClosedRange<UInt8> = 1...3
    private static let fewEntries = 4096

    private let index: DeadlineIndex
    private let shelves: DeadlineShelves
    /// Shelves being gone through, the nearest first.
    private var taken: [(shelf: DeadlineShelves.Taken, tells: Bool)] = []
    /// Entries on the near shelf, and how many of them the last walk had kept.
    private var nearEntries = 0
    private var nearEntriesKept = 0
    private var lastWalk: Int64 = 0
    /// Keys that are gone, with entries on distant shelves.
    private var goneKeys = 0
    /// Near keys that are still to be told again.
    private(set) var untold = 0
    private var indexFailure: SystemError?

    /// Opens the book in `folder`, or begins a new one.
    ///
    /// - Parameters:
    ///   - origin: a digest of what the book is about; one about something else is thrown away.
    ///   - next: the flow's LSN to go on from; `nil` begins a new book.
    ///   - boot: which boot of the machine this is.
    /// - Throws: `SystemError` when the files cannot be made.
    init(
        folder: String, origin: Int64, continuingAt next: UInt64?, boot: Int64? = BootID.current
    ) throws(SystemError) {
        shelves = DeadlineShelves(folder: folder)
        if let next, let index = Self.openIndex(in: folder, boot), index[.origin] == origin,
            index[.next] >= Int64(bitPattern: next)
        {
            self.index = index
            isContinued = true
            goOn(boot)
            return
        }
        isContinued = false
        try BookFolder.remove(folder)
        try BookFolder.make(folder)
        let index = try DeadlineIndex(creating: "\(folder)/index")
        self.index = index
        index[.origin] = origin
        index[.boot] = boot ?? 0
    }

    /// Opens the book in `folder`, whatever it is about.
    ///
    /// - Returns: `nil` when there is none that can be trusted.
    init?(reopening folder: String, boot: Int64? = BootID.current) {
        guard let index = Self.openIndex(in: folder, boot) else { return nil }
        self.index = index
        shelves = DeadlineShelves(folder: folder)
        isContinued = true
        goOn(boot)
    }

    private static func openIndex(in folder: String, _ boot: Int64?) -> DeadlineIndex? {
        guard let index = DeadlineIndex(opening: "\(folder)/index") else { return nil }
        // Pages that the kernel had not written are lost when the machine stops without order.
        return index[.boot] == boot || index[.isClean] == 1 ? index : nil
    }

    private func goOn(_ boot: Int64?) {
        index[.isClean] = 0
        index[.boot] = boot ?? 0
        taken = shelves.findFiles().map { ($0, true) }
        retell()
    }

    /// What an earlier process knew is known.
    let isContinued: Bool

    /// The margin that near deadlines had when it was last set.
    var margin: Int64 {
        get { index[.margin] }
        set { index[.margin] = newValue }
    }

    var isEmpty: Bool { index.count == 0 }
    var count: Int { index.count }
    /// There may be something to tell.
    var hasWork: Bool { !taken.isEmpty }

    /// The first failure to write since the last call: what could not be noted is not known.
    func takeFailure() -> SystemError? {
        defer { indexFailure = nil }
        return indexFailure ?? shelves.takeFailure()
    }

    /// What is noted so far belongs to a batch that ends before the LSN `next`; it survives the process from here on.
    func seal(next: UInt64) {
        shelves.flush()
        if next > 0 { index[.next] = Int64(bitPattern: next) }
    }

    /// The last act of a process that ends in order.
    func close() {
        shelves.flush()
        index.flush()
        index[.isClean] = 1
        index.flush()
    }

    // MARK: Noting

    private var front: Int64 {
        get { index[.front] }
        set { index[.front] = newValue }
    }

    private func shelf(_ deadline: Int64) -> UInt8 {
        let tick = deadline >> Self.tickBits
        let front = front
        guard tick > front else { return Self.nearShelf }
        let level = (63 - (tick ^ front).leadingZeroBitCount) / 4
        return UInt8(level * 16) + UInt8(tick >> (level * 4) & 15)
    }

    /// The source has given `key` this deadline.
    ///
    /// - Returns: whether it is near; `nil` when it could not be noted.
    func note(_ key: RawSpan, database: UInt32, deadline: Int64) -> Bool? {
        let fingerprint = index.fingerprint(key, database: database)
        if index[fingerprint]?.hasAliases == true { removeAliases(fingerprint) }
        return note(key, database: database, deadline: deadline, alias: 0, fingerprint)
    }

    private func note(
        _ key: RawSpan, database: UInt32, deadline: Int64, alias: UInt8, _ fingerprint: UInt64
    ) -> Bool? {
        guard deadline < DeadlineIndex.State.endOfTime, deadline > 0, key.byteCount <= DeadlineShelves.longestKey else {
            // Nobody will see it come up, or want to.
            if index[fingerprint] != nil { mark(fingerprint) }
            return nil
        }
        let shelf = shelf(deadline)
        let old = index[fingerprint]
        // On a distant shelf an entry comes up early enough for any later deadline.
        let lies = old.map { $0.place == shelf || $0.place != Self.nearShelf && $0.place < shelf } ?? false
        let place = lies ? old?.place ?? shelf : shelf
        do throws(SystemError) {
            try index.set(fingerprint, .init(deadline: deadline, place: place))
        } catch {
            indexFailure = indexFailure ?? error
            return nil
        }
        if !lies { put(key, database: database, alias: alias, on: shelf) }
        return shelf == Self.nearShelf
    }

    private func put(_ key: RawSpan, database: UInt32, alias: UInt8, on shelf: UInt8) {
        if shelf == Self.nearShelf { nearEntries += 1 }
        shelves.put(key, database: database, alias: alias, on: shelf)
    }

    /// The key is gone, and its deadline with it.
    func remove(_ key: RawSpan, database: UInt32) {
        let fingerprint = index.fingerprint(key, database: database)
        guard let state = index[fingerprint] else { return }
        if state.hasAliases { removeAliases(fingerprint) }
        mark(fingerprint)
    }

    /// The entry stays where it is, and tells nothing any more.
    private func mark(_ fingerprint: UInt64) {
        guard var state = index[fingerprint], !state.isGone else { return }
        state.isGone = true
        try? index.set(fingerprint, state)
        if state.place != Self.nearShelf { goneKeys += 1 }
    }

    private func removeAliases(_ fingerprint: UInt64) {
        for alias in Self.aliases { mark(DeadlineIndex.aliased(fingerprint, alias)) }
        guard var state = index[fingerprint] else { return }
        state.hasAliases = false
        try? index.set(fingerprint, state)
    }

    /// The deadlines that a key may have: one, unless it has been renamed over or moved to.
    func deadlines(of key: RawSpan, database: UInt32) -> [Int64] {
        let fingerprint = index.fingerprint(key, database: database)
        guard let state = index[fingerprint] else { return [] }
        var found = state.isGone ? [] : [state.deadline]
        guard state.hasAliases else { return found }
        for alias in Self.aliases {
            if let other = index[DeadlineIndex.aliased(fingerprint, alias)], !other.isGone {
                found.append(other.deadline)
            }
        }
        return found
    }

    /// The key may have this deadline, or one that it is known to have.
    func noteAlternative(_ key: RawSpan, database: UInt32, deadline: Int64) {
        if deadlines(of: key, database: database).contains(deadline) { return }
        let fingerprint = index.fingerprint(key, database: database)
        guard var state = index[fingerprint], !state.isGone || state.hasAliases else {
            _ = note(key, database: database, deadline: deadline)
            return
        }
        // With all aliases in use the last one gives way: that deadline keeps its margin, until the source's DEL.
        let free = Self.aliases.first { index[DeadlineIndex.aliased(fingerprint, $0)]?.isGone != false }
        let alias = free ?? Self.aliases.upperBound
        state.hasAliases = true
        try? index.set(fingerprint, state)
        _ = note(
            key, database: database, deadline: deadline, alias: alias, DeadlineIndex.aliased(fingerprint, alias))
    }

    // MARK: Telling

    /// Moves the front to `time`: what is due by then can be told from here on.
    func advance(to time: Int64) {
        let (old, new) = (front, time >> Self.tickBits)
        guard new > old else { return }
        front = new
        let highest = (63 - (new ^ old).leadingZeroBitCount) / 4
        var due: [UInt8] = []
        for level in 0..<Self.levels where level <= highest {
            let last = level == highest ? new >> (level * 4) & 15 : 15
            due += (1...15).filter { $0 <= last }.map { UInt8(level * 16 + $0) }
        }
        take(due)
        if goneKeys > 100_000, goneKeys > count / 2 {
            goneKeys = 0
            take(Array(1...127))
        }
    }

    private func take(_ numbers: [UInt8]) {
        for number in numbers {
            if let shelf = shelves.take(number) { taken.append((shelf, false)) }
        }
    }

    /// Walks the near keys when the shelf has grown or has not been looked at for long: what has passed is thrown away.
    func tidy(now: Int64, interval: Int64) {
        guard nearEntries > 0, !taken.contains(where: { $0.shelf.shelf == Self.nearShelf }),
            nearEntries > 2 * nearEntriesKept + Self.fewEntries || now - lastWalk >= interval
        else { return }
        lastWalk = now
        walk(tells: false)
    }

    /// Every near key is told once more.
    func retell() {
        for place in taken.indices { taken[place].tells = true }
        walk(tells: true)
    }

    private func walk(tells: Bool) {
        guard let shelf = shelves.take(Self.nearShelf) else { return }
        if tells { untold += nearEntries }
        nearEntries = 0
        taken.append((shelf, tells))
    }

    /// The next key that has come near, or is to be told again.
    ///
    /// - Parameter margin: a key is forgotten when its deadline plus this has passed.
    /// - Returns: `nil` when there is none now.
    func next(now: Int64, margin: Int64) -> (entry: DeadlineShelves.Entry, deadline: Int64)? {
        while let (shelf, tells) = taken.first {
            guard let entry = shelf.next() else {
                taken.removeFirst()
                if shelf.shelf == Self.nearShelf { (nearEntriesKept, untold) = (nearEntries, 0) }
                continue
            }
            if shelf.shelf == Self.nearShelf { untold = max(untold - 1, 0) }
            if let deadline = moveOn(entry, from: shelf.shelf, tells: tells, now: now, margin: margin) {
                return (entry, deadline)
            }
        }
        return nil
    }

    /// - Returns: the deadline, when it is to be told.
    private func moveOn(
        _ entry: DeadlineShelves.Entry, from shelf: UInt8, tells: Bool, now: Int64, margin: Int64
    ) -> Int64? {
        let key = entry.key.span.bytes
        let fingerprint = index.fingerprint(key, database: entry.database, alias: entry.alias)
        guard var state = index[fingerprint], state.place == shelf else { return nil }
        if state.isGone {
            index.remove(fingerprint)
            if shelf != Self.nearShelf { goneKeys = max(goneKeys - 1, 0) }
            return nil
        }
        let place = self.shelf(state.deadline)
        if place == Self.nearShelf, state.deadline + margin <= now {
            index.remove(fingerprint)
        } else {
            put(key, database: entry.database, alias: entry.alias, on: place)
            let hadAliases = state.hasAliases
            state = .init(deadline: state.deadline, place: place)
            state.hasAliases = hadAliases
            try? index.set(fingerprint, state)
        }
        return place == Self.nearShelf && (tells || shelf != Self.nearShelf) ? state.deadline : nil
    }
}
