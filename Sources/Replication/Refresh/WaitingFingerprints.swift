/// Fingerprints of the keys that wait on the disk, of each request in the file one: exact up to so many, and beyond them in a
/// filter of fixed size (`KeyFilter`), which is there only while it is needed.
///
/// A request is taken out where it is known exactly, else it is one of those in the filter: when none of these is left, all
/// are known exactly again.
struct WaitingFingerprints {
    private let mostExact: Int
    private var exact: Set<UInt64> = []
    /// Requests beyond those, or of a key that has two.
    private var inFilter = 0
    private var filter: KeyFilter?

    init(mostExact: Int) { self.mostExact = mostExact }

    /// A request has been written to the file.
    mutating func insert(_ fingerprint: UInt64) {
        if exact.count < mostExact, exact.insert(fingerprint).inserted { return }
        inFilter += 1
        if filter == nil { filter = KeyFilter() }
        filter?.insert(fingerprint)
    }

    /// A request has been read back from the file.
    mutating func remove(_ fingerprint: UInt64) {
        guard exact.remove(fingerprint) == nil, inFilter > 0 else { return }
        inFilter -= 1
        if inFilter == 0 { filter = nil }
    }

    mutating func removeAll() { (exact, inFilter, filter) = ([], 0, nil) }

    /// - Returns: `false` also of a key that waits, beyond those that are known exactly.
    func contains(_ fingerprint: UInt64) -> Bool { exact.contains(fingerprint) }

    /// - Returns: `true` also of some keys that do not wait, as rarely as the filter says.
    func mayContain(_ fingerprint: UInt64) -> Bool {
        exact.contains(fingerprint) || filter?.mayContain(fingerprint) == true
    }
}
