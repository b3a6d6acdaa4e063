import Glibc
import Link

/// The keys that a full sync has brought so far, as 64-bit fingerprints in an unnamed file.
///
/// The memory is bounded, however many keys there are (`MappedTable`). Two of n keys share a fingerprint with a probability
/// of n²/2⁶⁵ (one in 4,000 with 100 million keys). A collision can keep a key that should be removed, but never remove a
/// key that should stay.
///
/// Not Sendable: it belongs to one flow.
final class KeySet {
    private let directory: String
    private var table: MappedTable<UInt64>
    var count: Int { table.count }

    /// - Throws: `SystemError` if the disk has no room.
    init(directory: String, capacity: Int = 1 << 16) throws(SystemError) {
        self.directory = directory
        table = try Self.table(slotCount: capacity, in: directory)
    }

    private static func table(slotCount: Int, in directory: String) throws(SystemError) -> MappedTable<UInt64> {
        let descriptor = try UnnamedFile.open(in: directory, purpose: "the key set")
        defer { close(descriptor) }
        return try MappedTable(creatingIn: descriptor, name: "the key set in \(directory)", slotCount: slotCount)
    }

    static func fingerprint(_ key: RawSpan, database: UInt32) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(database)
        key.withUnsafeBytes { hasher.combine(bytes: $0) }
        let value = UInt64(bitPattern: Int64(hasher.finalize()))
        return value == 0 ? 1 : value
    }

    func contains(_ fingerprint: UInt64) -> Bool { table[fingerprint] != nil }

    /// - Returns: `false` if the fingerprint was already in the set.
    /// - Throws: `SystemError` if the set must grow and the disk has no room; the set stays as it was.
    @discardableResult
    func insert(_ fingerprint: UInt64) throws(SystemError) -> Bool {
        guard !contains(fingerprint) else { return false }
        if table.isFull {
            var larger = try Self.table(slotCount: table.slotCount * 2, in: directory)
            table.copy(to: &larger)
            table = larger
        }
        return table.set(fingerprint)
    }
}
