import Glibc

/// An entry of a `MappedTable`: found by its fingerprint, free when that is 0.
public protocol MappedEntry: BitwiseCopyable {
    /// What it is found by.
    var fingerprint: UInt64 { get }
    /// A slot without an entry.
    static var free: Self { get }
}

extension UInt64: MappedEntry {
    /// The number itself.
    @inlinable public var fingerprint: UInt64 { self }
    /// No number that is kept.
    @inlinable public static var free: UInt64 { 0 }
}

/// An open-addressed hash table in a file that is mapped into memory.
///
/// ```
/// head: `headBytes` of the owner's │ slots, a power of 2: an entry each, at the slot of its fingerprint or behind it
/// ```
/// The pages are the kernel's to keep or to write out, so memory stays bounded however many entries there are. At most half
/// of the slots are in use: a search ends at a free one. There is no well-kept library for this: databases bring their own
/// files, logs and caches, and what is needed here is one array and a dozen lines.
///
/// Public, though nobody outside the package can see it: a generic `package` type is not specialized in other modules
/// (Swift 6.3), so that each copy of an entry there is a call through its metadata.
///
/// Not Sendable: it belongs to its owner's queue.
public struct MappedTable<Entry: MappedEntry>: ~Copyable {
    @usableFromInline var memory: UnsafeMutableRawBufferPointer
    @usableFromInline var slots: UnsafeMutableBufferPointer<Entry>
    @usableFromInline var used: Int

    /// Maps a new, empty table into `descriptor`, an empty file, which stays the caller's.
    ///
    /// - Parameters:
    ///   - slotCount: a power of 2.
    ///   - name: of the file, in errors.
    /// - Throws: `SystemError` when the disk has no room.
    package init(
        creatingIn descriptor: Int32, name: String, headBytes: Int = 0, slotCount: Int
    ) throws(SystemError) {
        precondition(slotCount > 0 && slotCount & (slotCount - 1) == 0, "the slots are a power of 2")
        // Reserved now: a page that finds no room later would be a SIGBUS.
        let size = headBytes + slotCount * MemoryLayout<Entry>.stride
        var code = EINTR
        while code == EINTR { code = posix_fallocate(descriptor, 0, off_t(size)) }
        guard code == 0 else { throw SystemError("fallocate", errno: code, peer: name) }
        (memory, slots) = try Self.map(descriptor, name, headBytes, slotCount)
        used = 0
    }

    /// Maps the table that an earlier process has left in `descriptor`.
    ///
    /// - Throws: `SystemError`; EINVAL when the file is no such table.
    package init(
        openingIn descriptor: Int32, name: String, headBytes: Int, smallest: Int
    ) throws(SystemError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw SystemError("stat", errno: errno, peer: name) }
        let slotCount = (Int(status.st_size) - headBytes) / MemoryLayout<Entry>.stride
        guard slotCount >= smallest, slotCount & (slotCount - 1) == 0,
            Int(status.st_size) == headBytes + slotCount * MemoryLayout<Entry>.stride
        else { throw SystemError("read", errno: EINVAL, peer: name) }
        let (memory, slots) = try Self.map(descriptor, name, headBytes, slotCount)
        let used = slots.reduce(0) { $0 + ($1.fingerprint == 0 ? 0 : 1) }
        // A table without a free slot would be searched for ever.
        guard used <= slotCount / 2 else {
            munmap(memory.baseAddress, memory.count)
            throw SystemError("read", errno: EINVAL, peer: name)
        }
        (self.memory, self.slots, self.used) = (memory, slots, used)
    }

    deinit { munmap(memory.baseAddress, memory.count) }

    private static func map(
        _ descriptor: Int32, _ name: String, _ headBytes: Int, _ slotCount: Int
    ) throws(SystemError) -> (UnsafeMutableRawBufferPointer, UnsafeMutableBufferPointer<Entry>) {
        let size = headBytes + slotCount * MemoryLayout<Entry>.stride
        guard let base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), base != MAP_FAILED else {
            throw SystemError("mmap", errno: errno, peer: name)
        }
        let slots = (base + headBytes).bindMemory(to: Entry.self, capacity: slotCount)
        return (
            UnsafeMutableRawBufferPointer(start: base, count: size),
            UnsafeMutableBufferPointer(start: slots, count: slotCount)
        )
    }

    /// Slots in use.
    @inlinable public var count: Int { used }
    package var slotCount: Int { slots.count }

    /// The owner's bytes in front of the slots.
    @inlinable @inline(__always) public var head: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: memory[..<(memory.count - slots.count * MemoryLayout<Entry>.stride)])
    }

    /// Writes everything to the disk.
    package func flush() { _ = msync(memory.baseAddress, memory.count, MS_SYNC) }

    // MARK: Entries, inlined: unspecialized, each copy of an entry would be a call.

    /// The entry of a fingerprint; `nil` when there is none.
    @inlinable public subscript(fingerprint: UInt64) -> Entry? {
        let entry = slots[place(of: fingerprint)]
        return entry.fingerprint == fingerprint ? entry : nil
    }

    /// There is no room for another fingerprint: `copy(to:)` a table of twice the slots.
    @inlinable @inline(__always) public var isFull: Bool { used >= slots.count / 2 }

    /// Puts an entry in, in place of the one with its fingerprint.
    ///
    /// - Returns: `true` when there was none.
    @discardableResult
    @inlinable @inline(__always) public mutating func set(_ entry: Entry) -> Bool {
        precondition(entry.fingerprint != 0, "0 marks a free slot")
        let place = place(of: entry.fingerprint)
        let isNew = slots[place].fingerprint == 0
        if isNew {
            precondition(!isFull, "a search ends at a free slot")
            used += 1
        }
        slots[place] = entry
        return isNew
    }

    /// Removes the entry of a fingerprint, if there is one.
    @inlinable public mutating func remove(_ fingerprint: UInt64) {
        var hole = place(of: fingerprint)
        guard slots[hole].fingerprint == fingerprint else { return }
        used -= 1
        let mask = slots.count - 1
        var next = hole
        while true {
            next = (next + 1) & mask
            let moved = slots[next]
            if moved.fingerprint == 0 { break }
            // It may fill the hole unless its own place lies behind the hole.
            let home = Int(truncatingIfNeeded: moved.fingerprint) & mask
            if (next - home) & mask >= (next - hole) & mask {
                slots[hole] = moved
                hole = next
            }
        }
        slots[hole] = .free
    }

    /// Copies head and entries to a larger table.
    package func copy(to larger: inout MappedTable) {
        larger.head.copyMemory(from: UnsafeRawBufferPointer(head))
        for entry in slots where entry.fingerprint != 0 { larger.set(entry) }
    }

    @inlinable @inline(__always) func place(of fingerprint: UInt64) -> Int {
        let mask = slots.count - 1
        var place = Int(truncatingIfNeeded: fingerprint) & mask
        while slots[place].fingerprint != 0, slots[place].fingerprint != fingerprint { place = (place + 1) & mask }
        return place
    }
}
