import Testing
import Wire

@testable import Redis

@Suite("The keys that a journal command writes")
struct WrittenKeysTests {
    @Test(
        "stand where the command has them",
        arguments: [
            (["SET", "k", "v"], ["k"]), (["MSET", "a", "1", "b", "2"], ["a", "b"]), (["DEL", "a", "b"], ["a", "b"]),
            (["RENAME", "a", "b"], ["a", "b"]), (["XGROUP", "CREATE", "s", "g", "0"], ["s"]),
            (["BITOP", "OR", "dst", "x"], ["dst"]), (["PING"], []), (["FLUSHALL"], []), (["SCRIPT", "LOAD", "x"], []),
            (["FT.CREATE", "idx"], []), (["PFMERGE", "d", "s"], ["d", "s"]), (["UNHEARDOF", "k", "x"], ["k"]),
        ])
    func keys(_ words: [String], _ expected: [String]) throws {
        var encoded = ByteBuffer()
        encoded.append(journalCommand: words, transactionID: 0)
        var reader = ByteReader(encoded.bytes)
        guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 1 << 20) else {
            Issue.record("not a command")
            return
        }
        var found: [String] = []
        command.forEachWrittenKey { key in found.append(key.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }) }
        #expect(found == expected)
    }
}
