import DequeModule

/// Knows which keys have received the values of other keys by records that the target has not confirmed. Pure.
///
/// The target's reply to a command arrives after later records have been written. A key whose value differs according to
/// the reply may have another name by then. The size is limited by what is not confirmed.
struct UnconfirmedTransfers {
    private struct Transfer {
        var destination: RefreshKey
        /// The LSN of the record; 0 inside the snapshot.
        var lsn: UInt64
        /// The number of the hand-on, in the order of the stream.
        var number: UInt64
    }

    private var byKey: [RefreshKey: Deque<Transfer>] = [:]
    /// The source keys of all hand-ons, in the order of the stream.
    private var keys: Deque<RefreshKey> = []
    private var nextNumber: UInt64 = 1

    var count: Int { keys.count }

    /// Notes that the record `lsn` gives `destination` the value that `key` has in the target.
    mutating func note(_ key: RefreshKey, to destination: RefreshKey, at lsn: UInt64) {
        byKey[key, default: []].append(Transfer(destination: destination, lsn: lsn, number: nextNumber))
        keys.append(key)
        nextNumber += 1
    }

    /// Notes that the target has confirmed the oldest `count` hand-ons.
    mutating func confirm(_ count: Int) {
        for _ in 0..<min(count, keys.count) {
            let key = keys.removeFirst()
            byKey[key]?.removeFirst()
            if byKey[key]?.isEmpty == true { byKey[key] = nil }
        }
    }

    /// Returns the keys that have received the values of `keys` from the record `lsn` on, over any number of steps.
    func destinations(of keys: [RefreshKey], since lsn: UInt64) -> [RefreshKey] {
        guard count > 0 else { return [] }
        var found: [RefreshKey] = []
        // The number of the hand-on since which a key has one of the values.
        var starts: [RefreshKey: UInt64] = [:]
        var open = keys
        for key in keys { starts[key] = 0 }
        while let key = open.popLast() {
            for transfer in byKey[key] ?? [] where transfer.lsn >= lsn && transfer.number > starts[key] ?? 0 {
                let known = starts[transfer.destination]
                if let known, known <= transfer.number { continue }
                if known == nil { found.append(transfer.destination) }
                starts[transfer.destination] = transfer.number
                open.append(transfer.destination)
            }
        }
        return found
    }
}
