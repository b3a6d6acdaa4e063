import Foundation
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

    @Test("need a folder that can be written to")
    func missingFolder() {
        #expect(throws: (any Error).self) { try KeySet(directory: "/nonexistent-df2redis") }
    }
}
