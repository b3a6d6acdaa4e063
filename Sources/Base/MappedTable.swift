import Glibc

/// An entry of a `MappedTable`. It is found by its fingerprint; a slot with the fingerprint 0 is free.
public protocol MappedEntry: BitwiseCopyable {
    /// The number by which the entry is found.
    var fingerprint: UInt64 { get }
    /// A slot without an entry.
    static var free: Self { get }
}

extension UInt64: MappedEntry {
    /// The number itself.
    @inlinable public var fingerprint: UInt64 { self }
    /// The number 0, which cannot be kept.
    @inlinable public static var free: UInt64 { 0 }
}

/// An open-addressed hash table in a file that is mapped into memory.
///
/// ```
/// head: `headBytes` of the owner's │ slots, a power of 2: one entry each, at the slot of its fingerprint or after it
/// ```
/// The kernel decides which pages it keeps or writes out, so memory stays bounded regardless of the number of entries. At
/// most half of the slots are in use, so a search ends at a free one. There is no well-kept library for this: databases
/// bring their own files, logs and caches, and this needs only one array and a dozen lines.
///
/// Public, although nothing outside the package can see it: a generic `package` type is not specialized in other modules
/// (Swift 6.3), so each copy of an entry there would be a call through its metadata.
///
/// Not Sendable: it is confined to its owner's queue.
public struct MappedTable<Entry: MappedEntry>: ~Copyable {
    @usableFromInline var memory: UnsafeMutableRawBufferPointer
    @usableFromInline var slots: UnsafeMutableBufferPointer<Entry>
    @usableFromInline var used: Int

    /// Maps a new, empty table into `descriptor`, which must be an empty file. The descriptor still belongs to the caller.
    ///
    /// - Parameters:
    ///   - slotCount: the number of slots, a power of 2.
    ///   - name: the name of the file in errors.
    /// - Throws: `SystemError` if the disk has no room.
    package init(
        creatingIn descriptor: Int32, name: String, headBytes: Int = 0, slotCount: Int
    ) throws(SystemError) {
        precondition(slotCount > 0 && slotCount & (slotCount - 1) == 0, "the slots are a power of 2")
        // The space is reserved now, because a page that finds no room later would cause a SIGBUS.
        let size = headBytes + slotCount * MemoryLayout<Entry>.stride
        var code = EINTR
        while code == EINTR { code = posix_fallocate(descriptor, 0, off_t(size)) }
        guard code == 0 else { throw SystemError("fallocate", errno: code, peer: name) }
        (memory, slots) = try Self.map(descriptor, name, headBytes, slotCount)
        used = 0
    }

    /// Maps the table that an earlier process has left in `descriptor`.
    ///
    /// - Throws: `SystemError`; EINVAL if the file is not such a table.
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
        // A search in a table without a free slot would never end.
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

    /// The number of slots in use.
    @inlinable public var count: Int { used }
    package var slotCount: Int { slots.count }

    /// The owner's bytes in front of the slots.
    @inlinable @inline(__always) public var head: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: memory[..<(memory.count - slots.count * MemoryLayout<Entry>.stride)])
    }

    /// Writes everything to the disk.
    package func flush() { _ = msync(memory.baseAddress, memory.count, MS_SYNC) }

    // MARK: Entries, inlined: unspecialized, each copy of an entry would be a call.

    /// The entry of a fingerprint; `nil` if there is none.
    @inlinable public subscript(fingerprint: UInt64) -> Entry? {
        let entry = slots[place(of: fingerprint)]
        return entry.fingerprint == fingerprint ? entry : nil
    }

    /// Whether there is no room for another fingerprint. In this case, `copy(to:)` a table with twice as many slots.
    @inlinable @inline(__always) public var isFull: Bool { used >= slots.count / 2 }

    /// Inserts an entry, or replaces the one with its fingerprint.
    ///
    /// - Returns: `true` if there was none.
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
            // The entry may fill the hole unless its own place comes after the hole.
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
