import Synchronization

/// Memory and disk that all flows of a task may use for what the target has not taken yet.
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

    func takeMemory(_ count: Int) -> Bool { Self.take(count, of: memoryUsed, limit: memoryBytes) }
    func giveBackMemory(_ count: Int) { memoryUsed.subtract(count, ordering: .relaxed) }
    func takeDisk(_ count: Int) -> Bool { Self.take(count, of: diskUsed, limit: diskBytes) }
    func giveBackDisk(_ count: Int) { diskUsed.subtract(count, ordering: .relaxed) }

    private static func take(_ count: Int, of used: borrowing Atomic<Int>, limit: Int) -> Bool {
        if used.add(count, ordering: .relaxed).newValue <= limit { return true }
        used.subtract(count, ordering: .relaxed)
        return false
    }
}
