import DequeModule

/// Which keys have got the values of other keys by records that the target has not confirmed. Pure.
///
/// The target's answer to a command comes when records after it have been written already: a key of which it says that it
/// differs may have got another name by then. Bounded by what is not confirmed.
struct UnconfirmedHandOns {
    private struct HandOn {
        var destination: RefreshKey
        /// Of the record; 0 inside the snapshot.
        var lsn: UInt64
        /// In the order of the stream.
        var number: UInt64
    }

    private var byKey: [RefreshKey: Deque<HandOn>] = [:]
    /// The keys of all of them, in the order of the stream.
    private var keys: Deque<RefreshKey> = []
    private var nextNumber: UInt64 = 1

    var count: Int { keys.count }

    /// The record `lsn` gives `destination` the value that the target has of `key`.
    mutating func note(_ key: RefreshKey, to destination: RefreshKey, at lsn: UInt64) {
        byKey[key, default: []].append(HandOn(destination: destination, lsn: lsn, number: nextNumber))
        keys.append(key)
        nextNumber += 1
    }

    /// The target has confirmed the oldest `count`.
    mutating func confirm(_ count: Int) {
        for _ in 0..<min(count, keys.count) {
            let key = keys.removeFirst()
            byKey[key]?.removeFirst()
            if byKey[key]?.isEmpty == true { byKey[key] = nil }
        }
    }

    /// The keys that have got the values of `keys` from the record `lsn` on, over any number of steps.
    func destinations(of keys: [RefreshKey], since lsn: UInt64) -> [RefreshKey] {
        guard count > 0 else { return [] }
        var found: [RefreshKey] = []
        // From which hand-on on a key has a value that was handed on.
        var starts: [RefreshKey: UInt64] = [:]
        var open = keys
        for key in keys { starts[key] = 0 }
        while let key = open.popLast() {
            for handOn in byKey[key] ?? [] where handOn.lsn >= lsn && handOn.number > starts[key] ?? 0 {
                let known = starts[handOn.destination]
                if let known, known <= handOn.number { continue }
                if known == nil { found.append(handOn.destination) }
                starts[handOn.destination] = handOn.number
                open.append(handOn.destination)
            }
        }
        return found
    }
}
