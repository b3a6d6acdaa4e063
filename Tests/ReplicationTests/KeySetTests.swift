import Foundation
import Lab
import Link
import Testing

@testable import Replication

@Suite("The keys that a full sync has brought")
struct KeySetTests {
    private func fingerprint(_ key: String, _ database: UInt32 = 0) -> UInt64 {
        let bytes = Array(key.utf8)
        return KeySet.fingerprint(bytes.span.bytes, database: database)
    }

    @Test("are found again, in their database only, however often the set has grown")
    func membership() throws {
        let set = try KeySet(directory: NSTemporaryDirectory(), capacity: 64)
        for index in 0..<5_000 { #expect(try set.insert(fingerprint("key:\(index)")), "key:\(index) is new") }
        #expect(set.count == 5_000)
        for index in 0..<5_000 { #expect(set.contains(fingerprint("key:\(index)"))) }
        #expect(try !set.insert(fingerprint("key:7")), "a second time it is not new")
        #expect(!set.contains(fingerprint("key:7", 1)))
        #expect(!set.contains(fingerprint("key:5000")))
    }

    @Test(
        "are not stored if the set cannot grow, and earlier ones are still found",
        .enabled(if: SmallFileSystem.isPossible, "mounting takes root"))
    func fullDisk() throws {
        let folder = try TemporaryFolder("keys")
        let disk = try SmallFileSystem(at: folder.file("small"), bytes: 64 << 10)
        let set = try KeySet(directory: disk.path, capacity: 1 << 10)
        var stored = 0
        var failure: SystemError?
        // Far more than the set would have slots for.
        for index in 0..<20_000 {
            do {
                if try set.insert(fingerprint("key:\(index)")) { stored += 1 }
            } catch {
                if failure == nil { failure = error }
            }
        }
        #expect(failure?.errno == ENOSPC)
        #expect(stored >= 512 && set.count == stored)
        for index in 0..<stored { #expect(set.contains(fingerprint("key:\(index)"))) }
        #expect(!set.contains(fingerprint("key:19999")))
    }

    @Test("need no file system with unnamed files")
    func namedFile() throws {
        let folder = try TemporaryFolder("keys")
        let descriptor = try UnnamedFile.openNamed(in: folder.path, purpose: "the test")
        defer { close(descriptor) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
        #expect(write(descriptor, "x", 1) == 1)
    }

    @Test("need a folder that can be written to")
    func missingFolder() {
        #expect(throws: (any Error).self) { try KeySet(directory: "/nonexistent-df2redis") }
    }
}
