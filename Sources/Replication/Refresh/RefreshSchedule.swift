import DequeModule

/// Decides which key is read next, and when: the part of the queue that is in memory.
///
/// ```
/// waiting ──take──▶ asked ──finish──▶ (gone; if requested again, not before a pause)
///    ▲                │
///    └─ after a wait ─┘ retry
/// ```
/// Pure. Times are milliseconds of any clock that does not go back.
struct RefreshSchedule {
    /// The limits for the wait of a key that changes while it is read, or that is requested again and again.
    static let shortestWait: Int64 = 100
    static let longestWait: Int64 = 60_000
    /// The maximum number of keys whose last refresh is remembered.
    private static let mostPauses = 10_000
    /// The number of readings in a row that come too late before a key counts as one that changes all the time.
    private static let changingReadings = 8

    private struct Entry {
        var request: RefreshRequest
        /// The request's place in the queue's file; `nil` if it is not there.
        var place: RefreshFile.Place?
        /// The number of the request, in the order of requests.
        var number: UInt64
        var wait: Int64 = 0
        /// The number of readings that came too late.
        var staleReadings = 0
        var isAsked = false
        /// The reason of a new request since the key was taken; `nil` if there is none.
        var comesAgain: RefreshOrigin?

        var isUrgent: Bool { request.origin.isUrgent || comesAgain?.isUrgent == true }
    }

    private struct Pause {
        var wait: Int64
        var end: Int64
    }

    private var entries: [RefreshKey: Entry] = [:]
    private var ready: Deque<RefreshKey> = []
    /// Ready keys that come before those in `ready`.
    private var urgent: Deque<RefreshKey> = []
    /// Waiting keys by the second in which they are due.
    private var later: [Int64: [RefreshKey]] = [:]
    private var pauses: [RefreshKey: Pause] = [:]

    var count: Int { entries.count }

    enum Admission: Equatable {
        case added
        /// The key already waits, or will be read again after the current reading.
        case known
    }

    mutating func add(
        _ request: RefreshRequest, at place: RefreshFile.Place?, number: UInt64 = 0, now: Int64
    ) -> Admission {
        let key = request.key
        if let known = entries[key] {
            if known.isAsked {
                if known.comesAgain?.isUrgent != true { entries[key]?.comesAgain = request.origin }
            } else if request.origin.isUrgent, !known.isUrgent {
                entries[key]?.request.origin = request.origin
                urgent.append(key)
            }
            return .known
        }
        var entry = Entry(request: request, place: place, number: number)
        if request.origin.isUrgent {
            entries[key] = entry
            urgent.append(key)
        } else if let pause = pauses[key], pause.end > now {
            // A key that differs after each record is not read for each record.
            entry.wait = pause.wait
            entries[key] = entry
            schedule(key, at: pause.end)
        } else {
            entries[key] = entry
            ready.append(key)
        }
        return .added
    }

    func contains(_ key: RefreshKey) -> Bool { entries[key] != nil }

    func request(_ key: RefreshKey) -> RefreshRequest? { entries[key]?.request }
    /// Why a key waits; `nil` if it does not.
    func origin(of key: RefreshKey) -> RefreshOrigin? { entries[key].map { $0.isUrgent ? .group : $0.request.origin } }

    private mutating func schedule(_ key: RefreshKey, at time: Int64) { later[time / 1000, default: []].append(key) }

    /// Returns the next keys that are due and marks them as asked for. Urgent keys are returned by themselves.
    mutating func take(atMost limit: Int, urgent urgentLimit: Int = 0, now: Int64) -> [RefreshRequest] {
        let first = take(from: \.urgent, atMost: urgentLimit)
        if !first.isEmpty { return first }
        for second in later.keys where second <= now / 1000 {
            for key in later.removeValue(forKey: second) ?? [] { ready.append(key) }
        }
        return take(from: \.ready, atMost: limit)
    }

    private mutating func take(
        from keys: WritableKeyPath<RefreshSchedule, Deque<RefreshKey>>, atMost limit: Int
    ) -> [RefreshRequest] {
        var requests: [RefreshRequest] = []
        while requests.count < limit, let key = self[keyPath: keys].popFirst() {
            guard let entry = entries[key], !entry.isAsked else { continue }
            entries[key]?.isAsked = true
            requests.append(entry.request)
        }
        return requests
    }

    /// Schedules a key again that has changed meanwhile or could not be read.
    ///
    /// - Returns: how long the key waits, in milliseconds.
    @discardableResult
    mutating func retry(_ key: RefreshKey, wasStale: Bool = false, now: Int64, notBefore wait: Int64 = 0) -> Int64 {
        guard var entry = entries[key], entry.isAsked else { return 0 }
        entry.isAsked = false
        if let again = entry.comesAgain, again.isUrgent { entry.request.origin = again }
        entry.comesAgain = nil
        if wasStale { entry.staleReadings += 1 }
        entry.wait = min(max(entry.wait * 2, wait, Self.shortestWait), Self.longestWait)
        entries[key] = entry
        if entry.wait < 1000 { makeReady(key) } else { schedule(key, at: now + entry.wait) }
        return entry.wait
    }

    /// Makes all keys due, because nothing is written at the source any more and no key has to wait until it changes less
    /// often.
    mutating func hasten() {
        for keys in later.values { for key in keys { ready.append(key) } }
        (later, pauses) = ([:], [:])
        for key in entries.keys {
            entries[key]?.wait = 0
            entries[key]?.staleReadings = 0
        }
    }

    private mutating func makeReady(_ key: RefreshKey) {
        if entries[key]?.request.origin.isUrgent == true { urgent.append(key) } else { ready.append(key) }
    }

    /// Removes a key that now equals the source's, or for which nothing needs to be done.
    mutating func finish(_ key: RefreshKey, now: Int64) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        let last = pauses[key].map { $0.end + $0.wait > now ? $0.wait * 2 : Self.shortestWait } ?? Self.shortestWait
        let wait = min(max(last, Self.shortestWait), Self.longestWait)
        if pauses.count >= Self.mostPauses {
            pauses = pauses.filter { $0.value.end > now }
            if pauses.count >= Self.mostPauses { pauses = [:] }
        }
        pauses[key] = Pause(wait: wait, end: now + wait)
        if let origin = entry.comesAgain {
            var request = entry.request
            request.origin = origin
            _ = add(request, at: entry.place, number: entry.number, now: now)
        }
    }

    /// Makes keys ready again that were asked for, because those readings have ended.
    mutating func resetAsked() {
        for (key, entry) in entries where entry.isAsked {
            entries[key]?.isAsked = false
            makeReady(key)
        }
    }

    // MARK: Progress

    /// Returns how many keys requested before `mark` still wait, and how many change whenever they are read.
    func outstanding(before mark: UInt64) -> (waiting: Int, changing: Int) {
        var (waiting, changing) = (0, 0)
        for entry in entries.values where entry.number < mark {
            if entry.staleReadings < Self.changingReadings { waiting += 1 } else { changing += 1 }
        }
        return (waiting, changing)
    }

    var urgentCount: Int { entries.values.count { $0.isUrgent } }

    mutating func removeAll() { self = RefreshSchedule() }

    // MARK: The file

    /// The first offset in the file of a key that is not done.
    var firstOffset: Int? { entries.values.lazy.compactMap { $0.place?.offset }.min() }

    /// Adjusts the places after the file has become shorter at its front.
    mutating func moveOffsets(by bytes: Int) {
        for key in entries.keys {
            entries[key]?.place?.offset -= bytes
            entries[key]?.place?.end -= bytes
        }
    }

    /// Returns the keys that still wait while the file has been read `distance` bytes beyond them.
    func stragglers(before end: Int, distance: Int) -> [RefreshRequest] {
        entries.values.compactMap { entry in
            guard let place = entry.place, end - place.end > distance else { return nil }
            return entry.request
        }
    }

    mutating func setPlace(_ place: RefreshFile.Place, of key: RefreshKey) { entries[key]?.place = place }
}
