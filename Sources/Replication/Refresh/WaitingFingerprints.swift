/// The fingerprints of the keys that wait on disk, one for each request in the file. A limited number is kept exactly. The
/// others are in a filter of fixed size (`KeyFilter`), which exists only while it is needed.
///
/// A request is removed from the exact fingerprints if it is there; otherwise it counts as one of those in the filter. Once
/// none of these is left, all fingerprints are exact again.
struct WaitingFingerprints {
    private let mostExact: Int
    private var exact: Set<UInt64> = []
    /// The number of requests that are not among the exact ones, including second requests for a key.
    private var inFilter = 0
    private var filter: KeyFilter?

    init(mostExact: Int) { self.mostExact = mostExact }

    /// Notes that a request has been written to the file.
    mutating func insert(_ fingerprint: UInt64) {
        if exact.count < mostExact, exact.insert(fingerprint).inserted { return }
        inFilter += 1
        if filter == nil { filter = KeyFilter() }
        filter?.insert(fingerprint)
    }

    /// Notes that a request has been read back from the file.
    mutating func remove(_ fingerprint: UInt64) {
        guard exact.remove(fingerprint) == nil, inFilter > 0 else { return }
        inFilter -= 1
        if inFilter == 0 { filter = nil }
    }

    mutating func removeAll() { (exact, inFilter, filter) = ([], 0, nil) }

    /// - Returns: `false` also for a key that waits but is not among the exact ones.
    func contains(_ fingerprint: UInt64) -> Bool { exact.contains(fingerprint) }

    /// - Returns: `true` also for a few keys that do not wait, at the rate of the filter.
    func mayContain(_ fingerprint: UInt64) -> Bool {
        exact.contains(fingerprint) || filter?.mayContain(fingerprint) == true
    }
}
