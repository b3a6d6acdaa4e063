import Redis
import Wire

/// The keys of one flow that are being refreshed: which records have touched them, and what has been read.
///
/// Pure: it knows neither the source nor the target. A key is watched from before it is asked for, so that no record from
/// the first of the two positions on is missed; bounded by the number of keys that are asked for at once.
struct KeyWatch {
    /// What the source has said of a key.
    struct Answer: Sendable {
        /// As `DUMP` gives it; `nil`, unless it is built: there is no such key.
        var payload: [UInt8]?
        /// The value is at the target already, under a name of our own.
        var built: BuiltValue?
        /// Unix time in milliseconds; `nil`: never.
        var expiresAt: Int64?
        var reading: RefreshRule.Reading

        init(payload: [UInt8]?, built: BuiltValue? = nil, expiresAt: Int64?, reading: RefreshRule.Reading) {
            (self.payload, self.built, self.expiresAt, self.reading) = (payload, built, expiresAt, reading)
        }
    }

    /// What has become of a key that was watched.
    enum Outcome {
        case write(RefreshKey, Answer)
        /// It has changed since it was read.
        case stale(RefreshKey, isBuilt: Bool)
        /// A record has removed it: both sides have nothing there.
        case removed(RefreshKey)
    }

    private struct Watched {
        let key: RefreshKey
        /// The flow's next LSN when the watch began: the source is never before it.
        let begin: UInt64
        var touch: UInt64?
        var isRemoved = false
        var answer: Answer?
    }

    private let rule: RefreshRule
    /// By the key's fingerprint. Two keys that share one are not watched at once.
    private var keys: [UInt64: Watched] = [:]
    /// The next LSN at which something can be decided; `max`: nothing has been answered.
    private(set) var dueLSN = UInt64.max

    init(rule: RefreshRule = .exact) { self.rule = rule }

    var isEmpty: Bool { keys.isEmpty }
    var count: Int { keys.count }

    // MARK: Watching

    /// - Parameter next: the LSN of the stream's next record.
    /// - Returns: `false` when the key cannot be watched now.
    mutating func begin(_ key: RefreshKey, next: UInt64) -> Bool {
        let fingerprint = Self.fingerprint(of: key)
        guard keys[fingerprint] == nil else { return false }
        keys[fingerprint] = Watched(key: key, begin: next)
        return true
    }

    func contains(_ key: RefreshKey) -> Bool { keys[Self.fingerprint(of: key)] != nil }

    /// A record from `position` on has touched the key: what has been read of it since is of no use.
    func isStale(_ key: RefreshKey, since position: UInt64) -> Bool {
        guard let watched = keys[Self.fingerprint(of: key)] else { return true }
        return watched.touch.map { $0 >= position } ?? false
    }

    /// It is not to be read after all.
    mutating func end(_ key: RefreshKey) { keys[Self.fingerprint(of: key)] = nil }

    /// - Returns: `false` when the answer cannot be of the flow's master, or when nobody has asked.
    mutating func answer(_ key: RefreshKey, _ answer: Answer) -> Bool {
        let fingerprint = Self.fingerprint(of: key)
        guard let watched = keys[fingerprint] else { return false }
        guard answer.reading.before >= watched.begin, answer.reading.after >= answer.reading.before else {
            keys[fingerprint] = nil
            return false
        }
        keys[fingerprint]?.answer = answer
        dueLSN = min(dueLSN, answer.reading.after)
        return true
    }

    // MARK: The stream

    /// A record of the stream, before it takes effect.
    mutating func see(_ command: borrowing JournalCommand, database: UInt32, lsn: UInt64) {
        guard !keys.isEmpty else { return }
        let name = command.name
        let removes = name == "DEL" || name == "UNLINK"
        // Of some SORTs and GEORADIUSes every argument may be a key (Protocol 5.6 rows 6 and 7).
        if name == "SORT" || name.hasPrefix("GEORADIUS") {
            var arguments = command.arguments
            _ = arguments.next()
            while let argument = arguments.next() { touch(argument, database, lsn: lsn, removes: false) }
            return
        }
        command.forEachWrittenKey(in: database) { key, database in
            touch(key, database, lsn: lsn, removes: removes)
        }
    }

    private mutating func touch(_ key: RawSpan, _ database: UInt32, lsn: UInt64, removes: Bool) {
        let fingerprint = KeySet.fingerprint(key, database: database)
        guard keys[fingerprint] != nil else { return }
        keys[fingerprint]?.touch = lsn
        keys[fingerprint]?.isRemoved = removes
        if keys[fingerprint]?.answer != nil { dueLSN = 0 }
    }

    /// A record of the stream that may have touched every key.
    mutating func seeFlush(lsn: UInt64) {
        for fingerprint in keys.keys { keys[fingerprint]?.touch = lsn }
        if !keys.isEmpty { dueLSN = 0 }
    }

    // MARK: Decisions

    /// What is decided where the stream is now; those keys are no longer watched.
    mutating func takeDue(next: UInt64) -> [Outcome] {
        guard next >= dueLSN else { return [] }
        var outcomes: [Outcome] = []
        dueLSN = .max
        for (fingerprint, watched) in keys {
            guard let answer = watched.answer else { continue }
            switch rule.verdict(answer.reading, watched.touch, next) {
            case .wait:
                dueLSN = min(dueLSN, answer.reading.after)
                continue
            case .write: outcomes.append(.write(watched.key, answer))
            case .stale:
                outcomes.append(
                    watched.isRemoved ? .removed(watched.key) : .stale(watched.key, isBuilt: answer.built != nil))
            }
            keys[fingerprint] = nil
        }
        return outcomes
    }

    private static func fingerprint(of key: RefreshKey) -> UInt64 {
        KeySet.fingerprint(key.key.span.bytes, database: key.database)
    }
}
