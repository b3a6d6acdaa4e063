import Redis
import Wire

/// The keys of one flow that are being refreshed: which records have touched them, and what has been read.
///
/// Pure: it knows neither the source nor the target. The watch of a key begins before the key is read, so that no record
/// from the first of the reading's two positions on is missed. The number of keys is limited by the number of keys that are
/// read at once.
struct KeyWatch {
    /// The source's reply about a key.
    struct Answer: Sendable {
        /// The payload of `DUMP`; `nil` if the value is built in the target (`built`) or the key does not exist.
        var payload: [UInt8]?
        /// The value that is already in the target, under a name of df2redis' own.
        var built: BuiltValue?
        /// The Unix time in milliseconds; `nil` if the key does not expire.
        var expiresAt: Int64?
        var reading: RefreshRule.Reading

        init(payload: [UInt8]?, built: BuiltValue? = nil, expiresAt: Int64?, reading: RefreshRule.Reading) {
            (self.payload, self.built, self.expiresAt, self.reading) = (payload, built, expiresAt, reading)
        }
    }

    /// The result for a key that was watched.
    enum Outcome {
        case write(RefreshKey, Answer)
        /// The key has changed since it was read.
        case stale(RefreshKey, isBuilt: Bool)
        /// A record has removed the key, so both sides have nothing there.
        case removed(RefreshKey)
    }

    private struct Watched {
        let key: RefreshKey
        /// The flow's next LSN when the watch began. The source is never before it.
        let begin: UInt64
        var touch: UInt64?
        var isRemoved = false
        var answer: Answer?
    }

    private let rule: RefreshRule
    /// The keys by fingerprint. Two keys with the same fingerprint are not watched at the same time.
    private var keys: [UInt64: Watched] = [:]
    /// The next LSN at which something can be decided; `max` if no key has an answer.
    private(set) var dueLSN = UInt64.max

    init(rule: RefreshRule = .exact) { self.rule = rule }

    var isEmpty: Bool { keys.isEmpty }
    var count: Int { keys.count }

    // MARK: Watching

    /// - Parameter next: the LSN of the stream's next record.
    /// - Returns: `false` if the key cannot be watched now.
    mutating func begin(_ key: RefreshKey, next: UInt64) -> Bool {
        let fingerprint = Self.fingerprint(of: key)
        guard keys[fingerprint] == nil else { return false }
        keys[fingerprint] = Watched(key: key, begin: next)
        return true
    }

    func contains(_ key: RefreshKey) -> Bool { keys[Self.fingerprint(of: key)] != nil }

    /// Whether a value of the key read since `position` is useless: a record at `position` or later has touched the key, or
    /// the key is not watched.
    func isStale(_ key: RefreshKey, since position: UInt64) -> Bool {
        guard let watched = keys[Self.fingerprint(of: key)] else { return true }
        return watched.touch.map { $0 >= position } ?? false
    }

    /// Stops watching the key, because it is not read after all.
    mutating func end(_ key: RefreshKey) { keys[Self.fingerprint(of: key)] = nil }

    /// - Returns: `false` if the answer cannot come from the flow's master or the key is not watched.
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

    /// Notes the keys that a record touches, before the record takes effect.
    mutating func see(_ command: borrowing JournalCommand, database: UInt32, lsn: UInt64) {
        guard !keys.isEmpty else { return }
        let name = command.name
        let removes = name == "DEL" || name == "UNLINK"
        // In some SORT and GEORADIUS records every argument may be a key (Protocol 5.6 rows 6 and 7).
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

    /// Notes a record that may have touched every key.
    mutating func seeFlush(lsn: UInt64) {
        for fingerprint in keys.keys { keys[fingerprint]?.touch = lsn }
        if !keys.isEmpty { dueLSN = 0 }
    }

    // MARK: Decisions

    /// Returns the results that can be decided at the stream's current position. Their keys are no longer watched.
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
