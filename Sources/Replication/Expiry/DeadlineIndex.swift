import Glibc
import Link
import Wire

/// The source's deadlines by key, in a file mapped into memory: 16 bytes a slot, whatever the keys are.
///
/// ```
/// page of 4096 bytes   words: magic, seed, origin, margin, front, next LSN, boot, is clean, slots in use
/// slots, a power of 2   fingerprint (0: free) | state: bits 0-41 deadline in ms, 42-49 place, 50 gone, 51 has aliases
/// ```
/// The pages are the kernel's to keep or to write out, and outlive the process if it is killed. What a crash of the
/// whole machine leaves of them is not to be trusted (`boot`). Two keys that share a fingerprint (with 100 million keys
/// one in 4,000 that there is a pair) share a slot: the target's own deadline then differs from what the index says of
/// one of them, and is left alone.
///
/// Not Sendable: it belongs to one flow.
final class DeadlineIndex {
    struct State: Equatable {
        private var bits: UInt64

        fileprivate init(bits: UInt64) { self.bits = bits }

        init(deadline: Int64, place: UInt8) { bits = UInt64(deadline) & (1 << 42 - 1) | UInt64(place) << 42 }

        /// The first time that does not fit: in the year 2109.
        static let endOfTime: Int64 = 1 << 42

        fileprivate var raw: UInt64 { bits }
        var deadline: Int64 { Int64(bits & (1 << 42 - 1)) }
        var place: UInt8 { UInt8(truncatingIfNeeded: bits >> 42) }

        /// The key is gone; its entry still lies on a shelf.
        var isGone: Bool {
            get { bits & 1 << 50 != 0 }
            set { bits = newValue ? bits | 1 << 50 : bits & ~(1 << 50) }
        }
        /// Other deadlines that the key may have taken over stand under its aliases.
        var hasAliases: Bool {
            get { bits & 1 << 51 != 0 }
            set { bits = newValue ? bits | 1 << 51 : bits & ~(1 << 51) }
        }
    }

    enum Word: Int { case magic, seed, origin, margin, front, next, boot, isClean, count }

    private struct Slot {
        var fingerprint: UInt64
        var state: UInt64
    }

    private static let magic: UInt64 = 0x6466_3272_6469_0001
    private static let headBytes = 4096
    private static let smallest = 1 << 12

    private let path: String
    private var memory: UnsafeMutableRawBufferPointer
    private var slots: UnsafeMutableBufferPointer<Slot>

    /// Makes an empty index.
    ///
    /// - Throws: `SystemError` when there is no room.
    init(creating path: String) throws(SystemError) {
        self.path = path
        (memory, slots) = try Self.map(path, slotCount: Self.smallest)
        self[.magic] = Int64(bitPattern: Self.magic)
        self[.seed] = Int64.random(in: .min ... .max)
    }

    /// Opens what an earlier process has left.
    ///
    /// - Returns: `nil` when there is none, or none that can be trusted.
    init?(opening path: String) {
        self.path = path
        guard let (memory, slots) = try? Self.map(path, slotCount: nil) else { return nil }
        (self.memory, self.slots) = (memory, slots)
        guard UInt64(bitPattern: self[.magic]) == Self.magic else { return nil }
        // A table without a free slot would be searched for ever.
        let used = slots.reduce(0) { $0 + ($1.fingerprint == 0 ? 0 : 1) }
        guard used <= slots.count / 2 else { return nil }
        self[.count] = Int64(used)
    }

    deinit { munmap(memory.baseAddress, memory.count) }

    private static func map(
        _ path: String, slotCount: Int?
    ) throws(SystemError) -> (UnsafeMutableRawBufferPointer, UnsafeMutableBufferPointer<Slot>) {
        let descriptor = open(path, (slotCount == nil ? 0 : O_CREAT | O_TRUNC) | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: path) }
        defer { close(descriptor) }
        let count: Int
        if let slotCount {
            count = slotCount
            // Reserved now: a page that finds no room later would be a SIGBUS.
            let code = posix_fallocate(descriptor, 0, off_t(headBytes + count * 16))
            guard code == 0 else { throw SystemError("fallocate", errno: code, peer: path) }
        } else {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw SystemError("stat", errno: errno, peer: path) }
            count = (Int(status.st_size) - headBytes) / 16
            guard count >= smallest, count & (count - 1) == 0, Int(status.st_size) == headBytes + count * 16 else {
                throw SystemError("read", errno: EINVAL, peer: path)
            }
        }
        let size = headBytes + count * 16
        guard let base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), base != MAP_FAILED else {
            throw SystemError("mmap", errno: errno, peer: path)
        }
        let slots = (base + headBytes).bindMemory(to: Slot.self, capacity: count)
        return (
            UnsafeMutableRawBufferPointer(start: base, count: size),
            UnsafeMutableBufferPointer(start: slots, count: count)
        )
    }

    /// A number that the file keeps beside the slots.
    subscript(word: Word) -> Int64 {
        get { memory.load(fromByteOffset: word.rawValue * 8, as: Int64.self) }
        set { memory.storeBytes(of: newValue, toByteOffset: word.rawValue * 8, as: Int64.self) }
    }

    var count: Int { Int(self[.count]) }

    /// Writes everything to the disk: what a machine that stops in order leaves can be trusted.
    func flush() { _ = msync(memory.baseAddress, memory.count, MS_SYNC) }

    // MARK: Slots

    subscript(fingerprint: UInt64) -> State? {
        let slot = slots[place(of: fingerprint, in: slots)]
        return slot.fingerprint == fingerprint ? State(bits: slot.state) : nil
    }

    /// - Throws: `SystemError` when the table has to grow and there is no room; nothing is changed then.
    func set(_ fingerprint: UInt64, _ state: State) throws(SystemError) {
        var place = place(of: fingerprint, in: slots)
        if slots[place].fingerprint == 0 {
            if count >= slots.count / 2 {
                try grow()
                place = self.place(of: fingerprint, in: slots)
            }
            self[.count] += 1
        }
        slots[place] = Slot(fingerprint: fingerprint, state: state.raw)
    }

    func remove(_ fingerprint: UInt64) {
        var hole = place(of: fingerprint, in: slots)
        guard slots[hole].fingerprint == fingerprint else { return }
        self[.count] -= 1
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
        slots[hole] = Slot(fingerprint: 0, state: 0)
    }

    private func place(of fingerprint: UInt64, in slots: UnsafeMutableBufferPointer<Slot>) -> Int {
        let mask = slots.count - 1
        var place = Int(truncatingIfNeeded: fingerprint) & mask
        while slots[place].fingerprint != 0, slots[place].fingerprint != fingerprint { place = (place + 1) & mask }
        return place
    }

    /// Into a new file that takes the name when it is complete.
    private func grow() throws(SystemError) {
        let (newMemory, newSlots) = try Self.map(path + ".new", slotCount: slots.count * 2)
        newMemory.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<Self.headBytes]))
        for slot in slots where slot.fingerprint != 0 { newSlots[place(of: slot.fingerprint, in: newSlots)] = slot }
        guard rename(path + ".new", path) == 0 else {
            let error = SystemError("rename", errno: errno, peer: path)
            munmap(newMemory.baseAddress, newMemory.count)
            throw error
        }
        munmap(memory.baseAddress, memory.count)
        (memory, slots) = (newMemory, newSlots)
    }

    // MARK: Fingerprints

    /// - Parameter alias: 0 for the key's own deadline.
    func fingerprint(_ key: RawSpan, database: UInt32, alias: UInt8 = 0) -> UInt64 {
        let seed = UInt64(bitPattern: self[.seed])
        let base = key.withUnsafeBytes { Self.hash($0, seed: seed ^ UInt64(database) &* 0x9E37_79B9_7F4A_7C15) }
        return Self.aliased(base, alias)
    }

    static func aliased(_ fingerprint: UInt64, _ alias: UInt8) -> UInt64 {
        let value = fingerprint ^ UInt64(alias) &* 0xD6E8_FEB8_6659_FD93
        return value == 0 ? 1 : value
    }

    /// Multiply and fold, eight bytes a step. It must be the same in every process, as `Hasher` is not.
    private static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
            let product = a.multipliedFullWidth(by: b)
            return product.high ^ product.low
        }
        var hash = mix(seed ^ 0xA076_1D64_78BD_642F, UInt64(bytes.count) ^ 0xE703_7ED1_A0B4_28DB)
        var offset = 0
        while offset + 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            hash = mix(hash ^ word, 0x8EBC_6AF0_9C88_C6E3)
            offset += 8
        }
        var tail: UInt64 = 0
        for index in offset..<bytes.count { tail = tail << 8 | UInt64(bytes[index]) }
        return mix(hash ^ tail, 0x5899_65CC_7537_4CC3)
    }
}
