import Link
import Wire

/// The requests of the refresh queue that memory does not hold. They wait in the queue's file, in their order.
///
/// ```
/// done    in memory, or done    waiting
/// ──────┬─────────────────────┬──────────┐
///      head               readOffset    end
/// ```
/// The requests in memory are in the file as well, so that a restart finds them.
struct RefreshBacklog {
    /// The distance in the file after which a key that still waits is appended to the end again.
    private static let stragglerBytes = 1 << 20

    private let file: RefreshFile
    private let mostFileBytes: Int
    /// Where the first waiting request is.
    private var readOffset: Int
    /// How many requests wait.
    private(set) var count = 0
    /// The fingerprints of their keys, so that a key waits only once.
    private var fingerprints: WaitingFingerprints
    private var trimmedAt: Int64 = 0

    /// Opens or creates the file. All requests in it wait.
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

    /// Whether a key waits here. If very many keys wait, the answer can be `false` for some that do.
    func contains(_ key: RefreshKey) -> Bool { count > 0 && fingerprints.contains(Self.fingerprint(of: key)) }

    /// Whether a key may wait here. If very many keys wait, the answer can be `true` for a few that do not.
    func mayContain(_ key: RefreshKey) -> Bool { count > 0 && fingerprints.mayContain(Self.fingerprint(of: key)) }

    /// Whether the file has reached its largest size.
    var isFull: Bool { file.end >= mostFileBytes }

    /// Appends a request to the file.
    ///
    /// - Parameter waits: whether the request waits here because memory has no room. If not, no request may wait here.
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

    /// Reads the first waiting request, which then waits no longer.
    ///
    /// - Returns: `nil` if the file is damaged there.
    /// - Throws: `SystemError`. The request still waits.
    mutating func popFirst() throws(SystemError) -> (request: RefreshRequest, place: RefreshFile.Place)? {
        guard let next = try file.read(at: readOffset) else { return nil }
        readOffset = next.place.end
        count -= 1
        fingerprints.remove(Self.fingerprint(of: next.request.key))
        if count == 0 { fingerprints.removeAll() }
        return next
    }

    /// Forgets the requests that wait.
    mutating func drop() {
        count = 0
        fingerprints.removeAll()
    }

    /// Forgets the requests that wait and empties the file.
    mutating func removeAll() {
        drop()
        if (try? file.reset()) != nil { readOffset = file.head }
    }

    /// At most once a second: notes how far the file is done, so that a later process does not read it all again.
    ///
    /// - Parameter schedule: the requests in memory with their places in the file.
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
