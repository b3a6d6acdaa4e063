import Foundation
import Lab
import Redis
import Testing
import Wire

/// The scripts that keep TTLs of elements, on real servers: with one that has TTLs of fields, and with one that has none.
@Suite struct `A command near the end of an element's TTL` {
    static let binaries: [String?] =
        [nil] + [RedisServer.valkeyBinary, RedisServer.newerBinary].compactMap { $0 }.map { $0 as String? }

    private static let ofFields = [
        "HSETNX k e new", "HINCRBY k e 1", "HINCRBYFLOAT k e 1", "HSETEX k NX 1000 e new",
        "HSETEX k KEEPTTL 1000 e new",
        "HSETEX k FNX EX 1000 FIELDS 1 e new", "HSETEX k FXX EX 1000 FIELDS 1 e new", "HEXPIRE k 1000 FIELDS 1 e",
        "HEXPIRE k 1000 XX FIELDS 1 e", "FIELDEXPIRE k 1000 e", "HGETEX k EX 1000 FIELDS 1 e",
        "HGETEX k PERSIST FIELDS 1 e",
    ]
    private static let ofMembers = ["SADD k e", "SADDEX k KEEPTTL 1000 e", "FIELDEXPIRE k 1000 e"]

    private struct Scene {
        let target: TargetUnderTest
        let expiry: ElementExpiry
        /// A whole second that comes after the test.
        let end = (Int64(Date().timeIntervalSince1970) + 1000) * 1000

        init(_ binary: String?) async throws {
            target = try await TargetUnderTest(binary: binary)
            expiry = ElementExpiry(task: "t", flow: 0, hasNativeFields: binary != nil)
        }

        /// - Returns: whether the source is to be asked.
        @discardableResult
        func apply(_ line: String, from earliest: Int64, to latest: Int64) throws -> Bool {
            let window = ExecutionWindow(earliest: earliest, latest: latest)
            var encoded = ByteBuffer()
            encoded.append(journalCommand: words(line), transactionID: 0)
            var reader = ByteReader(encoded.bytes)
            guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 1 << 20) else {
                throw LabError("no command: \(line)")
            }
            let batch = CommandBatch()
            switch words(line)[0] {
            case "SADDEX": _ = expiry.addMembers(command, in: window, keepsPermanent: true, into: batch)
            case "FIELDEXPIRE": _ = expiry.expireElements(command, in: window, into: batch)
            case "HSETEX": _ = expiry.setFields(command, in: window, into: batch)
            case "HEXPIRE": _ = expiry.expireFields(command, in: window, into: batch)
            case "HGETEX": _ = expiry.expireReadFields(command, in: window, into: batch)
            case "SADD": expiry.removeExpired(namedBy: command, from: 2, to: 2, isHash: false, in: window, into: batch)
            default: expiry.removeExpired(namedBy: command, from: 2, to: 2, isHash: true, in: window, into: batch)
            }
            switch try target.send(batch) {
            case .applied([]): return false
            case .applied([.init(command: 0, kind: .empty)]): return true
            case let other: throw LabError("\(line): \(other)")
            }
        }

        /// A key with an element whose TTL ends at `end`.
        func begin(isHash: Bool, window: ClosedRange<Int64>? = nil) throws {
            _ = try target.client.command("DEL", "k", "df2redis:ttl:t:k", "df2redis:ttl-due:t:0")
            let (from, to) = (window?.lowerBound ?? end - 10_000, window?.upperBound ?? end - 10_000)
            _ = try target.client.command(isHash ? ["HSET", "k", "keep", "1"] : ["SADD", "k", "keep"])
            try apply(isHash ? "HSETEX k 10 e 10" : "SADDEX k 10 e", from: from, to: to)
            #expect(try hasElement(isHash: isHash))
            let score = try target.text("ZSCORE", "df2redis:ttl:t:k", "e")
            try #require(score == (window == nil ? "\(end)" : "\(end).5"))
        }

        func hasElement(isHash: Bool) throws -> Bool {
            try target.integer(isHash ? "HEXISTS" : "SISMEMBER", "k", "e") == 1
        }
    }

    @Test(arguments: binaries)
    func `is in doubt if it may have run before or after the end, and the element stays`(_ binary: String?) async throws
    {
        let scene = try await Scene(binary)
        for (lines, isHash) in [(Self.ofFields, true), (Self.ofMembers, false)] {
            for line in lines {
                try scene.begin(isHash: isHash)
                #expect(try scene.apply(line, from: scene.end - 200, to: scene.end), "\(line)")
                #expect(try scene.hasElement(isHash: isHash), "\(line)")
            }
        }
    }

    @Test(arguments: binaries)
    func `is not in doubt if it ran before the end, and the element stays`(_ binary: String?) async throws {
        let scene = try await Scene(binary)
        for (lines, isHash) in [(Self.ofFields, true), (Self.ofMembers, false)] {
            for line in lines {
                try scene.begin(isHash: isHash)
                #expect(try !scene.apply(line, from: scene.end - 5200, to: scene.end - 5000), "\(line)")
                #expect(try scene.hasElement(isHash: isHash), "\(line)")
            }
        }
    }

    @Test(arguments: binaries)
    func `finds no element if it ran after the end`(_ binary: String?) async throws {
        let scene = try await Scene(binary)
        for (lines, isHash) in [(Self.ofFields, true), (Self.ofMembers, false)] {
            for line in lines {
                try scene.begin(isHash: isHash)
                let asks = try scene.apply(line, from: scene.end, to: scene.end + 100)
                // It cannot give a TTL to a missing element; if it ran in time after all, the source has the element.
                #expect(asks == ["HEXPIRE", "FIELDEXPIRE", "HGETEX"].contains(words(line)[0]), "\(line)")
                let sets = ["HSETEX k NX", "HSETEX k KEEPTTL", "HSETEX k FNX", "SADDEX"].contains { line.hasPrefix($0) }
                #expect(try scene.hasElement(isHash: isHash) == sets, "\(line)")
                if isHash, sets { #expect(try scene.target.text("HGET", "k", "e") == "new", "\(line)") }
            }
        }
    }

    @Test(arguments: binaries)
    func `is in doubt if it is unknown when the TTL was set`(_ binary: String?) async throws {
        let scene = try await Scene(binary)
        for (lines, isHash) in [(Self.ofFields, true), (Self.ofMembers, false)] {
            for line in lines {
                try scene.begin(isHash: isHash, window: 0...scene.end - 10_000)
                #expect(try scene.apply(line, from: scene.end - 5200, to: scene.end - 5000), "\(line)")
                #expect(try scene.hasElement(isHash: isHash), "\(line)")
            }
        }
    }

    @Test(
        .enabled(if: binaries.count > 1, "VALKEY_BIN and REDIS74_BIN name no server with TTLs of fields"),
        arguments: binaries.dropFirst())
    func `is in doubt if the target has already expired the field`(_ binary: String?) async throws {
        let scene = try await Scene(binary)
        for line in Self.ofFields {
            try scene.begin(isHash: true)
            _ = try scene.target.client.command("HDEL", "k", "e")
            #expect(try scene.apply(line, from: scene.end - 5200, to: scene.end - 5000), "\(line)")
        }
        try scene.begin(isHash: true)
        _ = try scene.target.client.command("DEL", "k")
        #expect(try scene.apply("FIELDEXPIRE k 1000 e", from: scene.end - 5200, to: scene.end - 5000))
    }

    @Test(
        .enabled(if: binaries.count > 1, "VALKEY_BIN and REDIS74_BIN name no server with TTLs of fields"),
        arguments: binaries.dropFirst())
    func `gives a target with field TTLs the same TTLs as the shadow`(_ binary: String?) async throws {
        let scene = try await Scene(binary)
        func deadlines() throws -> [Int64?] {
            let native = try scene.target.client.command("HPEXPIRETIME", "k", "FIELDS", "1", "e").array?.first?.int
            return [native, try scene.target.text("ZSCORE", "df2redis:ttl:t:k", "e").flatMap { Int64($0) }]
        }
        let start = scene.end - 10_000
        for (line, expected) in [
            ("HSETEX k KEEPTTL 1000 e new", scene.end), ("HEXPIRE k 20 GT FIELDS 1 e", start + 20_000),
            ("HEXPIRE k 20 LT FIELDS 1 e", scene.end), ("HEXPIRE k 20 NX FIELDS 1 e", scene.end),
            ("FIELDEXPIRE k 30 e", start + 30_000), ("HGETEX k PXAT \(start + 40_000) FIELDS 1 e", start + 40_000),
            ("HSETEX k 50 e 5", start + 50_000), ("HSETEX k NX 50 e 5", scene.end),
        ] {
            try scene.begin(isHash: true)
            #expect(try !scene.apply(line, from: start - 200, to: start + 5), "\(line)")
            #expect(try deadlines() == [expected, expected], "\(line)")
        }
        for line in ["HGETEX k PERSIST FIELDS 1 e", "HSETEX k FIELDS 1 e 5"] {
            try scene.begin(isHash: true)
            #expect(try !scene.apply(line, from: start - 200, to: start + 5), "\(line)")
            #expect(try deadlines() == [-1, nil], "\(line)")
        }
    }
}
