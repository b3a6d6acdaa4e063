import Synchronization

/// Memory and disk that all flows of a task may use for what the target has not taken yet.
///
/// ```
/// memory   0 ─────────────── half ─────────────── limit
///            memory alone      │ the disk is written; the rest is for what arrives meanwhile
/// ```
/// The reserve in the upper half takes the place of waiting for the disk. A small budget has one of 16 MiB all the same,
/// and a flow may always hold two slabs, one to read into and one on its way to the disk: with a small `memoryBytes` that
/// is more than it says.
package final class SpoolBudget: Sendable {
    /// A disk that stops for a tenth of a second, as they do, with 100 MB/s from the source.
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

    /// With one more slab more than half of the memory would be in use: what comes now had better go to the disk.
    var isMemoryShort: Bool { usedMemoryBytes + Slab.capacity > memoryBytes / 2 }

    /// What the slabs of all flows may take, but for those that each flow may always hold.
    var memoryLimit: Int { diskBytes > 0 ? max(memoryBytes, memoryBytes / 2 + Self.leastReserve) : memoryBytes }

    /// - Parameter isGuaranteed: beyond the limit if need be.
    func takeMemory(_ count: Int, isGuaranteed: Bool) -> Bool {
        Self.take(count, of: memoryUsed, limit: isGuaranteed ? .max : memoryLimit)
    }
    func giveBackMemory(_ count: Int) { memoryUsed.subtract(count, ordering: .relaxed) }
    func takeDisk(_ count: Int) -> Bool { Self.take(count, of: diskUsed, limit: diskBytes) }
    func giveBackDisk(_ count: Int) { diskUsed.subtract(count, ordering: .relaxed) }

    private static func take(_ count: Int, of used: borrowing Atomic<Int>, limit: Int) -> Bool {
        if used.add(count, ordering: .relaxed).newValue <= limit { return true }
        used.subtract(count, ordering: .relaxed)
        return false
    }
}
