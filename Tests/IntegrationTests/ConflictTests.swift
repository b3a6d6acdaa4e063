import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// Conflicts with the target's own keys in writes of the source during the snapshot.
@Suite(.serialized) struct `Conflicts in the journal of a full sync` {
    /// A journal blob, as it is between the entries of a snapshot.
    private static func blob(_ lines: [String]) -> [UInt8] {
        var records = ByteBuffer()
        for line in lines { records.append(journalCommand: line.split(separator: " ").map(String.init)) }
        var blob = ByteBuffer()
        blob.append([0xD2, UInt8(lines.count)].span.bytes)
        blob.append(rdbString: records.bytes)
        return blob.withUnsafeBytes { Array($0) }
    }

    @Test(arguments: ["overwrite", "skip", "panic"])
    func `are handled as the conflict policy says, except for keys that the sync itself has made`(
        _ policy: String
    ) throws {
        let scene = try RedisScene(shards: 1, ["conflict": ["policy: \(policy)"]])
        let (master, client) = (scene.master, try scene.client)
        var faults = Faults()
        faults.insertionBeforeEnd = Self.blob([
            "SET made:1 a", "SET theirs new", "APPEND made:1 b", "EXPIRE theirs 1000", "SETNX made:2 c", "DEL theirs",
            "RENAMENX made:1 theirs", "SET made:3 d",
        ])
        master.setFaults(faults, on: .flow(0))
        master.execute("SET snapshot v")
        try client.command("SET", "theirs", "old")
        let daemon = try scene.start(.migrate)
        try daemon.expectExit(policy == "panic" ? 65 : 0)
        func get(_ key: String) throws -> String? { try client.command("GET", key).text }
        #expect(try get("theirs") == (policy == "overwrite" ? "ab" : "old"))
        #expect(try client.command("PTTL", "theirs").int == -1)
        #expect(
            daemon.deadLetters
                == (policy == "overwrite" ? [] : [DeadLetter(kind: "conflict", database: 0, key: "theirs")]))
        if policy == "panic" {
            #expect(daemon.logs("the key \"theirs\" in database 0 is in the target already"))
            #expect(try get("made:3") == nil, "nothing behind the conflict is applied")
        } else {
            #expect(try [get("snapshot"), get("made:2"), get("made:3")] == ["v", "c", "d"])
        }
        if policy == "skip" {
            // The key that would have taken the name stays where it was.
            #expect(try get("made:1") == "ab")
            #expect(daemon.logs("1 existing keys left as they were"))
        }
        #expect(master.violations == [])
    }
}
