import Foundation
import Link
import Redis
import Testing
import Wire

@testable import Replication

/// A guard with a window of 60 s over a clock of the test's.
@Suite struct `The guard of TTLs` {
    private static let start: Int64 = 1_800_000_000_000
    private static let standing: Int64 = 90_337
    private static let behind: Int64 = 86_400_613

    private final class Clock: Sendable {
        let time = Lock(start)
    }

    private final class Scene {
        let folder = NSTemporaryDirectory() + "df2redis-guard-\(UUID().uuidString)"
        let clock = Clock()
        let expiry: ExpiryGuard

        init(window: Duration = .seconds(60), isLevel: Bool = true) throws {
            let clock = clock
            expiry = ExpiryGuard(
                keyExpiries: try ExpiryWheel(folder: folder, origin: 1, continuingAt: nil), window: .init(window),
                clock: { clock.time.withLock { $0 } })
            if isLevel { expiry.updateLag(oldestArrival: nil) }
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        /// The margin added to a deadline that is `ahead` milliseconds after the start.
        func write(_ key: String, _ ahead: Int64) -> Int64 {
            let bytes = Array(key.utf8)
            return expiry.deadline(start + ahead, key: bytes.span.bytes, database: 0) - start - ahead
        }

        func rename(_ key: String, _ destination: String) {
            let (from, to) = (Array(key.utf8), Array(destination.utf8))
            expiry.moved(from.span.bytes, database: 0, to: to.span.bytes, database: 0, mayStay: false)
        }

        /// Lets time pass, and returns the deadlines written then: `key deadline+margin`, relative to the start.
        func pass(
            _ milliseconds: Int64, lag: Int64? = nil, unconfirmed: Int64 = 0, isInFullSync: Bool = false
        ) throws -> [String] {
            let now = clock.time.withLock { time in
                time += milliseconds
                return time
            }
            expiry.updateLag(
                oldestArrival: lag.map { now - $0 }, unconfirmed: unconfirmed, isInFullSync: isInFullSync)
            let batch = CommandBatch()
            expiry.writeDeadlines(to: batch, limit: 1 << 20) { _ in true }
            let bytes = batch.bytes.withUnsafeBytes { Array($0) }
            var reader = ByteReader(bytes.span.bytes)
            var lines: [String] = []
            while let words = try reader.readRESPValue()?.array?.map({ $0.text ?? "?" }) {
                guard words[0] == "EVAL", let count = Int(words[2]), let margins = Int(words[4 + count]) else {
                    continue
                }
                for index in 0..<count {
                    let deadline = Int64(words[5 + count + margins + index]).map { $0 - start } ?? 0
                    lines.append("\(words[3 + index]) \(deadline)+\(words[3 + count])")
                }
            }
            return lines.sorted()
        }
    }

    @Test func `without lag adds the small margin to deadlines that are near, or when they come near`() throws {
        let scene = try Scene()
        #expect(scene.write("near", 5_000) == Self.standing)
        #expect(scene.write("far", 120_000) == 0)
        #expect(scene.write("beyond", 1 << 43) == 0)
        #expect(try scene.pass(0) == [])
        #expect(try scene.pass(40_000) == ["far 120000+90337"])
        #expect(try scene.pass(1_000) == [])
    }

    @Test func `under lag adds a day to near deadlines, and the small margin again afterwards`() throws {
        let scene = try Scene()
        #expect(scene.write("near", 5_000) == Self.standing)
        #expect(scene.write("far", 300_000) == 0)
        #expect(try scene.pass(0, lag: 14_000) == [], "a little late")
        #expect(try scene.pass(0, lag: 16_000) == ["near 5000+86400613"])
        #expect(scene.write("other", 6_000) == Self.behind)
        #expect(try scene.pass(250_000, lag: 260_000) == ["far 300000+86400613"])
        #expect(try scene.pass(0, lag: 8_000) == [], "still late")
        // The target removes those whose margin has passed.
        #expect(
            try scene.pass(0, lag: 7_000) == ["far 300000+90337", "near 5000+90337", "other 6000+90337"])
        #expect(try scene.pass(200_000) == [])
        #expect(scene.expiry.keyExpiries.isEmpty)
    }

    @Test func `treats a continued flow as lagging until nothing waits, however recent the arrivals`() throws {
        let scene = try Scene(isLevel: false)
        #expect(scene.write("k", 5_000) == Self.behind)
        #expect(try scene.pass(10, lag: 0) == [])
        #expect(scene.write("k", 5_000) == Self.behind)
        #expect(try scene.pass(10) == ["k 5000+90337"])
    }

    @Test func `treats a full sync as lag until it is complete and confirmed`() throws {
        let scene = try Scene(isLevel: false)
        #expect(scene.write("near", 5_000) == Self.behind)
        #expect(scene.write("far", 120_000) == 0)
        #expect(try scene.pass(0, isInFullSync: true) == [], "nothing waits, and more of the snapshot may come")
        #expect(try scene.pass(100_000, lag: 0, isInFullSync: true) == ["far 120000+86400613"])
        #expect(try scene.pass(0, unconfirmed: 8_000) == [], "on its way to the target")
        #expect(try scene.pass(0, unconfirmed: 7_000) == ["far 120000+90337", "near 5000+90337"])
    }

    @Test func `treats an unconfirmed batch as lag`() throws {
        let scene = try Scene()
        #expect(scene.write("near", 5_000) == Self.standing)
        #expect(try scene.pass(0, lag: 0, unconfirmed: 14_000) == [])
        #expect(try scene.pass(0, lag: 0, unconfirmed: 16_000) == ["near 5000+86400613"])
        #expect(try scene.pass(0, unconfirmed: 100) == ["near 5000+90337"])
    }

    @Test func `covers every deadline that a renamed key may have`() throws {
        let scene = try Scene()
        _ = scene.write("from", 200_000)
        _ = scene.write("to", 300_000)
        scene.rename("from", "to")
        scene.rename("to", "last")
        #expect(try scene.pass(250_000) == ["last 200000+90337", "last 300000+90337"])
    }

    @Test func `keeps the deadline of a key that is renamed to itself`() throws {
        let scene = try Scene()
        _ = scene.write("key", 200_000)
        scene.rename("key", "key")
        #expect(try scene.pass(250_000) == ["key 200000+90337"])
    }

    @Test func `with a window of 0 adds a margin only under lag`() throws {
        let scene = try Scene(window: .zero)
        #expect(scene.write("near", 5_000) == 0)
        #expect(try scene.pass(0, lag: 600) == ["near 5000+86400613"])
        #expect(try scene.pass(0) == ["near 5000+0"])
    }
}
