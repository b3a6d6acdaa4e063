import Glibc
import Link
import Wire

/// The source's deadlines by key, in a file mapped into memory. Each slot takes 16 bytes, whatever its key.
///
/// ```
/// page of 4096 bytes   words: magic, seed, origin, margin, horizon tick, next LSN, boot, is clean
/// slots, a power of 2   fingerprint (0: free) | state: bits 0-41 deadline in ms, 42-49 place, 50 gone, 51 has aliases
/// ```
/// The kernel keeps the pages or writes them to the disk, and they outlive the process if it is killed. After a crash of
/// the whole machine they cannot be trusted (`boot`). Two keys with the same fingerprint share a slot (with 100 million
/// keys, the probability of such a pair is 1 in 4,000). For one of them, the target's deadline then differs from the index
/// and is left alone.
///
/// Not Sendable: it belongs to one flow.
final class WheelIndex {
    struct State: Equatable {
        private var bits: UInt64

        fileprivate init(bits: UInt64) { self.bits = bits }

        init(deadline: Int64, place: UInt8) { bits = UInt64(deadline) & (1 << 42 - 1) | UInt64(place) << 42 }

        /// The first time that does not fit, in the year 2109.
        static let endOfTime: Int64 = 1 << 42

        fileprivate var raw: UInt64 { bits }
        var deadline: Int64 { Int64(bits & (1 << 42 - 1)) }
        var place: UInt8 { UInt8(truncatingIfNeeded: bits >> 42) }

        /// Whether the key is gone while its entry is still in a bucket.
        var isGone: Bool {
            get { bits & 1 << 50 != 0 }
            set { bits = newValue ? bits | 1 << 50 : bits & ~(1 << 50) }
        }
        /// Whether the key may have taken over other deadlines, which are stored under its aliases.
        var hasAliases: Bool {
            get { bits & 1 << 51 != 0 }
            set { bits = newValue ? bits | 1 << 51 : bits & ~(1 << 51) }
        }
    }

    enum Word: Int { case magic, seed, origin, margin, horizonTick, next, boot, isClean }

    private struct Slot: MappedEntry {
        var fingerprint: UInt64
        var state: UInt64

        static let free = Slot(fingerprint: 0, state: 0)
    }

    private static let magic: UInt64 = 0x6466_3272_6469_0001
    private static let headBytes = 4096
    private static let smallest = 1 << 12

    private let path: String
    private var table: MappedTable<Slot>

    /// Creates an empty index.
    ///
    /// - Throws: `SystemError` if there is no room.
    init(creating path: String) throws(SystemError) {
        self.path = path
        table = try Self.create(path, slotCount: Self.smallest)
        self[.magic] = Int64(bitPattern: Self.magic)
        self[.seed] = Int64.random(in: .min ... .max)
    }

    /// Opens the index that an earlier process has left.
    ///
    /// - Returns: `nil` if there is none or it cannot be trusted.
    init?(opening path: String) {
        self.path = path
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        do throws(SystemError) {
            table = try MappedTable(
                openingIn: descriptor, name: path, headBytes: Self.headBytes, smallest: Self.smallest)
        } catch {
            return nil
        }
        guard UInt64(bitPattern: self[.magic]) == Self.magic else { return nil }
    }

    private static func create(_ path: String, slotCount: Int) throws(SystemError) -> MappedTable<Slot> {
        let descriptor = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: path) }
        defer { close(descriptor) }
        return try MappedTable(creatingIn: descriptor, name: path, headBytes: headBytes, slotCount: slotCount)
    }

    /// A number that the file stores in addition to the slots.
    subscript(word: Word) -> Int64 {
        get { table.head.load(fromByteOffset: word.rawValue * 8, as: Int64.self) }
        set { table.head.storeBytes(of: newValue, toByteOffset: word.rawValue * 8, as: Int64.self) }
    }

    var count: Int { table.count }

    /// Writes everything to the disk, so that the index can be trusted after a normal shutdown of the machine.
    func flush() { table.flush() }

    // MARK: Entries

    subscript(fingerprint: UInt64) -> State? { table[fingerprint].map { State(bits: $0.state) } }

    /// - Throws: `SystemError` if the table has to grow and there is no room. Nothing has changed then.
    func set(_ fingerprint: UInt64, _ state: State) throws(SystemError) {
        if table.isFull, table[fingerprint] == nil { try grow() }
        table.set(Slot(fingerprint: fingerprint, state: state.raw))
    }

    func remove(_ fingerprint: UInt64) { table.remove(fingerprint) }

    /// Doubles the table in a new file, which takes the old file's name when it is complete.
    private func grow() throws(SystemError) {
        var larger = try Self.create(path + ".new", slotCount: table.slotCount * 2)
        table.copy(to: &larger)
        guard rename(path + ".new", path) == 0 else { throw SystemError("rename", errno: errno, peer: path) }
        table = larger
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

    /// Hashes by multiply and fold, eight bytes a step. The hash must be the same in every process, unlike `Hasher`.
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
