import Link
import Wire

/// The part of the queue that memory does not hold: requests that wait in the queue's file, in their order.
///
/// ```
/// done    in memory, or done    waiting
/// ──────┬─────────────────────┬──────────┐
///      head               readOffset    end
/// ```
/// Requests in memory are in the file too, so that a restart finds them.
struct RefreshBacklog {
    /// The distance in the file after which a key that still waits is appended to the end again.
    private static let stragglerBytes = 1 << 20

    private let file: RefreshFile
    private let mostFileBytes: Int
    /// What follows has not been read back.
    private var readOffset: Int
    /// Requests that wait.
    private(set) var count = 0
    /// Of their keys, so that a key waits once.
    private var fingerprints: WaitingFingerprints
    private var trimmedAt: Int64 = 0

    /// Opens the file, or makes it; all that is in it waits.
    init(path: String, mostFileBytes: Int, mostFingerprints: Int) throws(SystemError) {
        var (count, fingerprints) = (0, WaitingFingerprints(mostExact: mostFingerprints))
        file = try RefreshFile(path: path) { key, database in
            count += 1
            fingerprints.insert(KeySet.fingerprint(key, database: database))
        }
        (self.count, self.fingerprints, self.mostFileBytes) = (count, fingerprints, mostFileBytes)
        readOffset = file.head
    }

    private static func fingerprint(of key: RefreshKey) -> UInt64 {
        KeySet.fingerprint(key.key.span.bytes, database: key.database)
    }

    /// Whether a key waits here; of very many, some are not known to.
    func contains(_ key: RefreshKey) -> Bool { count > 0 && fingerprints.contains(Self.fingerprint(of: key)) }

    /// As `contains`; of very many, a few are said to wait that do not.
    func mayContain(_ key: RefreshKey) -> Bool { count > 0 && fingerprints.mayContain(Self.fingerprint(of: key)) }

    /// The file takes no more.
    var isFull: Bool { file.end >= mostFileBytes }

    /// Writes a request to the file's end.
    ///
    /// - Parameter waits: memory has no room for it; without it nothing waits here.
    mutating func append(_ request: RefreshRequest, waits: Bool) throws(SystemError) -> RefreshFile.Place {
        let place = try file.append(request)
        if waits {
            count += 1
            fingerprints.insert(Self.fingerprint(of: request.key))
        } else {
            readOffset = place.end
        }
        return place
    }

    /// Takes the first request that waits.
    ///
    /// - Returns: `nil` when what is there cannot be a request.
    /// - Throws: `SystemError`; it still waits.
    mutating func popFirst() throws(SystemError) -> (request: RefreshRequest, place: RefreshFile.Place)? {
        guard let next = try file.read(at: readOffset) else { return nil }
        readOffset = next.place.end
        count -= 1
        fingerprints.remove(Self.fingerprint(of: next.request.key))
        if count == 0 { fingerprints.removeAll() }
        return next
    }

    /// Nothing waits any more.
    mutating func drop() {
        count = 0
        fingerprints.removeAll()
    }

    /// Nothing waits any more, nor is anything in the file.
    mutating func removeAll() {
        drop()
        if (try? file.reset()) != nil { readOffset = file.head }
    }

    /// Once a second: what is done need not be read again by a later process.
    ///
    /// - Parameter schedule: the requests in memory, with their places in the file.
    mutating func trim(_ schedule: inout RefreshSchedule, now: Int64) throws(SystemError) {
        guard now - trimmedAt >= 1000 else { return }
        trimmedAt = now
        if schedule.count == 0, count == 0 {
            if file.end > file.head { try file.reset() }
            readOffset = file.head
            return
        }
        for request in schedule.stragglers(before: readOffset, distance: Self.stragglerBytes) where count == 0 {
            schedule.setPlace(try append(request, waits: false), of: request.key)
        }
        try file.setHead(min(schedule.firstOffset ?? readOffset, readOffset))
        let moved = try file.compact()
        readOffset -= moved
        if moved > 0 { schedule.moveOffsets(by: moved) }
    }
}
