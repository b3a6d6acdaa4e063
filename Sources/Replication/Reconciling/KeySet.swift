import Glibc
import Link

/// The keys that a full sync has brought so far, as 64-bit fingerprints in a file without a name.
///
/// An open-addressed table, mapped into memory: the pages are the kernel's to keep or to write out, so memory stays
/// bounded however many keys there are. 0 marks a free slot. Two different keys share a fingerprint with a probability of
/// n²/2⁶⁵ (one in 4,000 with 100 million keys); such a key would be kept where it should go, never the other way round.
///
/// Not Sendable: it belongs to one flow.
final class KeySet {
    private let directory: String
    private var slots: UnsafeMutableBufferPointer<UInt64>
    private(set) var count = 0

    /// - Throws: `SystemError` when the disk has no room.
    init(directory: String, capacity: Int = 1 << 16) throws(SystemError) {
        self.directory = directory
        slots = try Self.map(capacity, in: directory)
    }

    deinit { munmap(slots.baseAddress, slots.count * 8) }

    private static func map(
        _ count: Int, in directory: String
    ) throws(SystemError) -> UnsafeMutableBufferPointer<UInt64> {
        let descriptor = try UnnamedFile.open(in: directory, purpose: "the key set")
        defer { close(descriptor) }
        // Reserved now: a page that finds no room later would be a SIGBUS.
        var code = EINTR
        while code == EINTR { code = posix_fallocate(descriptor, 0, off_t(count * 8)) }
        guard code == 0 else { throw SystemError("fallocate", errno: code, peer: "the key set in \(directory)") }
        let memory = mmap(nil, count * 8, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let memory, memory != MAP_FAILED else {
            throw SystemError("mmap", errno: errno, peer: "the key set in \(directory)")
        }
        return UnsafeMutableBufferPointer(start: memory.bindMemory(to: UInt64.self, capacity: count), count: count)
    }

    static func fingerprint(_ key: RawSpan, database: UInt32) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(database)
        key.withUnsafeBytes { hasher.combine(bytes: $0) }
        let value = UInt64(bitPattern: Int64(hasher.finalize()))
        return value == 0 ? 1 : value
    }

    func contains(_ fingerprint: UInt64) -> Bool { slots[place(of: fingerprint)] == fingerprint }

    /// - Returns: `false` when it was there already.
    /// - Throws: `SystemError` when the set has to grow and the disk has no room; it holds what it held before.
    @discardableResult
    func insert(_ fingerprint: UInt64) throws(SystemError) -> Bool {
        guard !contains(fingerprint) else { return false }
        // A search ends at a free slot, so there must always be one.
        if count >= slots.count / 2 { try grow() }
        slots[place(of: fingerprint)] = fingerprint
        count += 1
        return true
    }

    private func place(of fingerprint: UInt64) -> Int {
        let mask = slots.count - 1
        var place = Int(truncatingIfNeeded: fingerprint) & mask
        while slots[place] != 0, slots[place] != fingerprint { place = (place + 1) & mask }
        return place
    }

    private func grow() throws(SystemError) {
        let larger = try Self.map(slots.count * 2, in: directory)
        let old = slots
        slots = larger
        for fingerprint in old where fingerprint != 0 { slots[place(of: fingerprint)] = fingerprint }
        munmap(old.baseAddress, old.count * 8)
    }
}
