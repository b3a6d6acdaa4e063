import Synchronization

/// The memory and disk space that all flows of a task may use for data that the target has not taken yet.
///
/// ```
/// memory   0 ─────────────── half ─────────────── limit
///            memory alone      │ the disk is written; the rest is for what arrives meanwhile
/// ```
/// The upper half is a reserve, so that nobody has to wait for the disk. A small budget still has a reserve of 16 MiB, and
/// a flow may always hold two slabs, one to read into and one on its way to the disk. So with a small `memoryBytes`, more
/// than that may be used.
package final class SpoolBudget: Sendable {
    /// The minimum reserve: enough for a disk that stalls for a tenth of a second, as disks do, at 100 MB/s from the
    /// source.
    static let leastReserve = 16 << 20

    package let memoryBytes: Int
    package let diskBytes: Int
    private let memoryUsed = Atomic<Int>(0)
    private let diskUsed = Atomic<Int>(0)

    package init(memoryBytes: Int, diskBytes: Int) {
        self.memoryBytes = memoryBytes
        self.diskBytes = diskBytes
    }

    package var usedMemoryBytes: Int { memoryUsed.load(ordering: .relaxed) }
    package var usedDiskBytes: Int { diskUsed.load(ordering: .relaxed) }

    /// Whether one more slab would put more than half of the memory in use, so that new bytes should go to the disk.
    var isMemoryShort: Bool { usedMemoryBytes + Slab.capacity > memoryBytes / 2 }

    /// The limit for the slabs of all flows, not counting those that each flow may always hold.
    var memoryLimit: Int { diskBytes > 0 ? max(memoryBytes, memoryBytes / 2 + Self.leastReserve) : memoryBytes }

    /// - Parameter isGuaranteed: whether the memory may exceed the limit.
    func reserveMemory(_ count: Int, isGuaranteed: Bool) -> Bool {
        Self.reserve(count, of: memoryUsed, limit: isGuaranteed ? .max : memoryLimit)
    }
    func releaseMemory(_ count: Int) { memoryUsed.subtract(count, ordering: .relaxed) }
    func reserveDisk(_ count: Int) -> Bool { Self.reserve(count, of: diskUsed, limit: diskBytes) }
    func releaseDisk(_ count: Int) { diskUsed.subtract(count, ordering: .relaxed) }

    private static func reserve(_ count: Int, of used: borrowing Atomic<Int>, limit: Int) -> Bool {
        if used.add(count, ordering: .relaxed).newValue <= limit { return true }
        used.subtract(count, ordering: .relaxed)
        return false
    }
}
