import Base
import Foundation
import Testing
import Wire

@testable import Replication

/// A book in a folder of its own, and keys by their names.
private final class BookUnderTest {
    let folder = NSTemporaryDirectory() + "df2redis-book-\(UUID().uuidString)"
    private(set) var book: ExpiryWheel

    init() throws { book = try ExpiryWheel(folder: folder, origin: 1, continuingAt: nil) }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// As another process would.
    func reopen(origin: Int64 = 1, at next: UInt64 = 5, boot: Int64? = BootID.current) throws {
        book = try ExpiryWheel(folder: folder, origin: origin, continuingAt: next, boot: boot)
    }

    @discardableResult
    func note(_ key: String, _ deadline: Int64, database: UInt32 = 0) -> Bool? {
        let bytes = Array(key.utf8)
        return book.note(bytes.span.bytes, database: database, deadline: deadline)
    }

    func remove(_ key: String) {
        let bytes = Array(key.utf8)
        book.remove(bytes.span.bytes, database: 0)
    }

    func alternative(_ key: String, _ deadline: Int64) {
        let bytes = Array(key.utf8)
        book.noteAlternative(bytes.span.bytes, database: 0, deadline: deadline)
    }

    func deadlines(_ key: String) -> [Int64] {
        let bytes = Array(key.utf8)
        return book.deadlines(of: bytes.span.bytes, database: 0)
    }

    /// Everything that is reported now, in order of names.
    func told(now: Int64, margin: Int64 = 1000) -> [String] {
        var lines: [String] = []
        while let (entry, deadline) = book.next(now: now, margin: margin) {
            let key = String(decoding: entry.key, as: UTF8.self)
            lines.append(entry.database == 0 ? "\(key) \(deadline)" : "\(entry.database)/\(key) \(deadline)")
        }
        return lines.sorted()
    }
}

@Suite struct `The book of deadlines` {
    private let start: Int64 = 1_800_000_000_000

    @Test func `reports a key once when the front reaches its deadline, however far away that was`() throws {
        let test = try BookUnderTest()
        test.book.advance(to: start)
        let distances: [Int64] = [5_000, 60_000, 70_000, 3_600_000, 90_000_000, 40 * 86_400_000, 900 * 86_400_000]
        for (index, distance) in distances.enumerated() {
            #expect(test.note("k\(index)", start + distance, database: UInt32(index)) == false)
        }
        #expect(test.told(now: start) == [])
        for (index, distance) in distances.enumerated() {
            // A tick is 4096 ms: no earlier than one before it.
            test.book.advance(to: start + distance - 4096)
            #expect(test.told(now: start) == [], "before \(distance)")
            test.book.advance(to: start + distance)
            let name = index == 0 ? "k0" : "\(index)/k\(index)"
            #expect(test.told(now: start) == ["\(name) \(start + distance)"])
        }
    }

    @Test func `calls a deadline before the front near, and reports it only on request`() throws {
        let test = try BookUnderTest()
        test.book.advance(to: start + 90_000)
        #expect(test.note("near", start + 10_000) == true)
        #expect(test.told(now: start) == [])
        for _ in 0..<3 {
            test.book.reportAgain()
            #expect(test.told(now: start) == ["near \(start + 10_000)"])
        }
    }

    @Test func `keeps only a key's last deadline`() throws {
        let test = try BookUnderTest()
        test.book.advance(to: start)
        test.note("later", start + 20_000)
        test.note("later", start + 500_000)
        test.note("sooner", start + 500_000)
        test.note("sooner", start + 20_000)
        test.note("gone", start + 20_000)
        test.remove("gone")
        test.book.advance(to: start + 30_000)
        #expect(test.told(now: start) == ["sooner \(start + 20_000)"])
        test.book.advance(to: start + 600_000)
        #expect(test.told(now: start) == ["later \(start + 500_000)"])
    }

    @Test func `drops entries that are removed or long past, and keeps one entry per key on a shelf`() throws {
        let test = try BookUnderTest()
        test.book.advance(to: start)
        for round in 0..<1000 { test.note("often", start + 100_000 + Int64(round)) }
        test.note("past", start + 10_000)
        test.note("gone", start + 50_000)
        test.remove("gone")
        test.book.advance(to: start + 200_000)
        #expect(test.told(now: start + 11_001) == ["often \(start + 100_999)", "past \(start + 10_000)"])
        #expect(test.book.count == 1)
        test.book.seal(next: 1)
        let near = try FileManager.default.attributesOfItem(atPath: test.folder + "/0")[.size] as? Int
        #expect(near == 9 + "often".utf8.count)
    }

    @Test func `is complete after a kill, even if the end of a file is torn`() throws {
        let test = try BookUnderTest()
        test.book.advance(to: start)
        for index in 0..<20_000 { test.note("k\(index)", start + 10_000 + Int64(index) * 100) }
        test.book.seal(next: 5)
        let shelf = try #require(FileManager.default.subpaths(atPath: test.folder)?.first { $0 != "index" })
        let file = try #require(FileHandle(forWritingAtPath: test.folder + "/" + shelf))
        try file.seekToEnd()
        try file.write(contentsOf: Data([4, 0, 0, 0, 1]))
        try file.close()
        try test.reopen()
        #expect(test.book.isContinued)
        test.book.advance(to: start + 4_000_000)
        #expect(test.told(now: start, margin: 1 << 40).count == 20_000)
        // Killed in the middle of a walk: keys may be reported again, and none is missing.
        test.book.reportAgain()
        for _ in 0..<10_000 { _ = test.book.next(now: start, margin: 1 << 40) }
        test.book.seal(next: 6)
        try test.reopen(at: 6)
        #expect(Set(test.told(now: start, margin: 1 << 40)).count == 20_000)
    }

    @Test func `starts empty for another source, or if it is older than the checkpoint`() throws {
        let test = try BookUnderTest()
        test.book.advance(to: start)
        test.note("k", start + 10_000)
        test.book.seal(next: 5)
        try test.reopen(at: 6)
        #expect(!test.book.isContinued && test.book.isEmpty)
        test.note("k", start + 10_000)
        test.book.seal(next: 7)
        try test.reopen(origin: 2, at: 7)
        #expect(!test.book.isContinued && test.book.isEmpty)
        try test.reopen(origin: 2, at: 0)
        #expect(test.book.isContinued)
        try Data("rubbish".utf8).write(to: URL(fileURLWithPath: test.folder + "/index"))
        try test.reopen(origin: 2, at: 0)
        #expect(!test.book.isContinued)
    }

    @Test func `is trusted after a kill only within the same boot, and after an orderly end always`() throws {
        let (one, other) = (BootID.digest(of: "1f"), BootID.digest(of: "0123456789abcdef0123456789abcdef"))
        #expect(one == nil && other != nil)
        #expect(BootID.digest(of: "01234567-89ab-cdef-0123-456789abcdef\n") == other)
        for (before, now) in [(1, 2), (1, nil), (nil, nil), (nil, 1)] as [(Int64?, Int64?)] {
            let test = try BookUnderTest()
            test.book.seal(next: 5)
            test.book.close()
            try test.reopen(boot: before)
            #expect(test.book.isContinued, "ended in order")
            test.book.seal(next: 5)
            try test.reopen(boot: now)
            #expect(!test.book.isContinued, "killed, and the machine may have been too")
        }
    }

    @Test func `keeps the deadlines that a renamed key may have taken over until it is written again`() throws {
        let test = try BookUnderTest()
        test.book.advance(to: start)
        test.note("k", start + 10_000)
        test.alternative("k", start + 20_000)
        test.alternative("k", start + 20_000)
        test.alternative("k", start + 30_000)
        #expect(test.deadlines("k").sorted() == [start + 10_000, start + 20_000, start + 30_000])
        test.book.advance(to: start + 60_000)
        #expect(test.told(now: start).count == 3)
        test.note("k", start + 40_000)
        #expect(test.deadlines("k") == [start + 40_000])
        test.book.reportAgain()
        #expect(test.told(now: start) == ["k \(start + 40_000)"])
        test.remove("k")
        #expect(test.deadlines("k") == [])
    }

    @Test(arguments: [UInt64.random(in: 0 ... .max)]) func `agrees with a plain dictionary`(_ seed: UInt64) throws {
        print("seed \(seed)")
        var generator = Seeded(state: seed)
        let test = try BookUnderTest()
        var model: [String: Int64] = [:]
        var told: Set<String> = []
        var now = start
        test.book.advance(to: now)
        for step in 0..<12_000 {
            let key = "k\(Int.random(in: 0..<3000, using: &generator))"
            switch Int.random(in: 0..<20, using: &generator) {
            case 0:
                test.remove(key)
                model[key] = nil
            case 1:
                now += Int64.random(in: 0..<20_000, using: &generator)
                test.book.advance(to: now)
            default:
                let distance = Int64.random(
                    in: 1..<(1 << Int64.random(in: 4..<36, using: &generator)), using: &generator)
                model[key] = now + distance
                let isNear = test.note(key, now + distance)
                told.remove(key)
                if isNear == true { told.insert(key) }
            }
            if step % 7 == 0, step % 1500 != 0 {
                for line in test.told(now: 0, margin: 0) {
                    let words = line.split(separator: " ")
                    let name = String(words[0])
                    #expect(model[name] == Int64(words[1]), "seed \(seed), step \(step): \(name)")
                    #expect(told.insert(name).inserted, "seed \(seed), step \(step): \(name) a second time")
                }
                let due = model.filter { $0.value >> 12 <= now >> 12 }.map(\.key)
                #expect(told.isSuperset(of: due), "seed \(seed), step \(step)")
            }
            if step % 1500 == 0 {
                test.book.seal(next: 5)
                try test.reopen()
                let again = Set(test.told(now: 0, margin: 0).map { String($0.prefix { $0 != " " }) })
                let due = Set(model.filter { $0.value >> 12 <= now >> 12 }.map(\.key))
                #expect(again == due, "seed \(seed), step \(step)")
                told = due
            }
        }
    }

    @Test func `reports a failure to write its files`() throws {
        #expect(throws: (any Error).self) {
            try ExpiryWheel(folder: "/nonexistent-df2redis/0", origin: 1, continuingAt: nil)
        }
        let test = try BookUnderTest()
        try FileManager.default.removeItem(atPath: test.folder)
        test.note("k", start)
        test.book.seal(next: 1)
        #expect(test.book.takeFailure() != nil)
        #expect(test.book.takeFailure() == nil, "told once")
    }

    private struct Seeded: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
            return value ^ value >> 31
        }
    }
}
