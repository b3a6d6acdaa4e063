import Synchronization

/// Memory and disk that all flows of a task may use for what the target has not taken yet.
///
/// A flow may always hold two slabs of memory, one to read into and one on its way to the disk: with many shards and a
/// small limit that is more than the limit says.
package final class SpoolBudget: Sendable {
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

    /// With one more slab three quarters of the memory would be in use: what comes now had better go to the disk while
    /// there is still room for what arrives meanwhile.
    var isMemoryShort: Bool { usedMemoryBytes + Slab.capacity > memoryBytes / 4 * 3 }

    /// - Parameter isGuaranteed: beyond the limit if need be.
    func takeMemory(_ count: Int, isGuaranteed: Bool) -> Bool {
        Self.take(count, of: memoryUsed, limit: isGuaranteed ? .max : memoryBytes)
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
