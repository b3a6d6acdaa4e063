import Base
import Foundation
import Lab
import Testing

@Suite struct `A mapped table` {
    private struct Entry: MappedEntry, Equatable {
        var fingerprint: UInt64
        var value: UInt64

        static let free = Entry(fingerprint: 0, value: 0)
    }

    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder("table") }

    private func descriptor(_ name: String) throws -> Int32 {
        let descriptor = open(folder.file(name), O_RDWR | O_CREAT, 0o600)
        try #require(descriptor >= 0)
        return descriptor
    }

    private func table(_ name: String = "table", slots: Int) throws -> MappedTable<Entry> {
        let descriptor = try descriptor(name)
        defer { close(descriptor) }
        return try MappedTable(creatingIn: descriptor, name: name, headBytes: 4096, slotCount: slots)
    }

    @Test func `holds the same entries as a dictionary after any insertions and removals`() throws {
        // Fingerprints that belong in few slots: they collide, also across the end of the table.
        var random = SplitMix64(seed: 7)
        var table = try table(slots: 64)
        var model: [UInt64: UInt64] = [:]
        for step in 0..<20_000 {
            let fingerprint = [62, 63, 64, 65, 126, 127, 128].randomElement(using: &random).map {
                $0 + random.next() % 3 * 64
            }!
            if random.next() % 3 == 0 {
                table.remove(fingerprint)
                model[fingerprint] = nil
            } else if !table.isFull || table[fingerprint] != nil {
                let isNew = table.set(Entry(fingerprint: fingerprint, value: UInt64(step)))
                #expect(isNew == (model.updateValue(UInt64(step), forKey: fingerprint) == nil))
            }
            #expect(table.count == model.count)
            if step % 100 == 0 { for (key, value) in model { #expect(table[key]?.value == value) } }
        }
    }

    @Test func `keeps its head and its entries when it is copied to a larger table`() throws {
        var small = try table("small", slots: 16)
        small.head.storeBytes(of: 42, toByteOffset: 8, as: UInt64.self)
        var next: UInt64 = 1
        while !small.isFull {
            small.set(Entry(fingerprint: next, value: next * 10))
            next += 3
        }
        #expect(small.count == 8, "a search ends at a free slot")
        var large = try table("large", slots: 32)
        small.copy(to: &large)
        #expect(large.count == 8 && !large.isFull)
        #expect(large.head.load(fromByteOffset: 8, as: UInt64.self) == 42)
        for fingerprint in stride(from: UInt64(1), to: next, by: 3) {
            #expect(large[fingerprint] == Entry(fingerprint: fingerprint, value: fingerprint * 10))
        }
        #expect(large[2] == nil)
    }

    @Test func `can be opened again from its file, and a file of the wrong size is refused`() throws {
        var first = try table(slots: 16)
        first.set(Entry(fingerprint: 5, value: 50))
        let descriptor = try descriptor("table")
        defer { close(descriptor) }
        func opened() throws -> MappedTable<Entry> {
            try MappedTable(openingIn: descriptor, name: "table", headBytes: 4096, smallest: 16)
        }
        let again = try opened()
        #expect(again.count == 1 && again[5]?.value == 50)
        ftruncate(descriptor, 4096 + 17 * 16)
        #expect(throws: SystemError("read", errno: EINVAL, peer: "table")) { _ = try opened() }
    }
}
