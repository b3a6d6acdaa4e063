import Testing
import Wire

/// A record as text: what a test compares.
private func describe(_ record: borrowing JournalRecord) -> String {
    switch record {
    case .select(let database): return "SELECT \(database)"
    case .ping: return "PING"
    case .lsn(let lsn): return "LSN \(lsn)"
    case .command(let command):
        var words = ["\(command.isExpired ? "EXPIRED" : "COMMAND") tx=\(command.transactionID)"]
        words.append("shards=\(command.shardCount) bytes=\(command.argumentBytes)")
        var arguments = command.arguments
        var count = 0
        while let argument = arguments.next() {
            words.append(argument.text)
            count += 1
        }
        #expect(count == command.argumentCount)
        return words.joined(separator: " ")
    }
}

/// All whole records of `bytes`, and what is left over after them.
private func records(_ bytes: [UInt8], maxPayloadBytes: Int = 1 << 20) throws(WireError) -> ([String], rest: Int) {
    var reader = ByteReader(bytes.span.bytes)
    var records: [String] = []
    while reader.remaining > 0 {
        let start = reader.offset
        guard let record = try reader.readJournalRecord(maxPayloadBytes: maxPayloadBytes) else {
            #expect(reader.offset == start)
            return (records, reader.remaining)
        }
        records.append(describe(record))
    }
    return (records, 0)
}

@Suite struct `Journal records` {
    /// Protocol V2 to V8.
    private static let vectors: [(String, [String])] = [
        (
            "06 00 | 0a 00 01 | 03 05 | 03 53 45 54 | 01 6b | 01 76",
            ["SELECT 0", "COMMAND tx=0 shards=1 bytes=5 SET k v"]
        ),
        ("06 00 0a 04 01 02 05 04 49 4e 43 52 01 61", ["SELECT 0", "COMMAND tx=4 shards=1 bytes=5 INCR a"]),
        ("06 0f 0a 00 01 03 05 03 53 45 54 01 78 01 79", ["SELECT 15", "COMMAND tx=0 shards=1 bytes=5 SET x y"]),
        (
            "06 00 0a 00 01 03 40 4a 03 53 45 54 01 61 40 46" + String(repeating: " 78", count: 70),
            ["SELECT 0", "COMMAND tx=0 shards=1 bytes=74 SET a " + String(repeating: "x", count: 70)]
        ),
        (
            "06 03 0a 41 2c 02 03 06 04 4d 53 45 54 01 61 01 31",
            ["SELECT 3", "COMMAND tx=300 shards=2 bytes=6 MSET a 1"]
        ),
        ("06 00 09 00 01 02 04 03 44 45 4c 01 6b", ["SELECT 0", "EXPIRED tx=0 shards=1 bytes=4 DEL k"]),
        ("0d", ["PING"]), ("0f 10", ["LSN 16"]), ("0f 18", ["LSN 24"]), ("0f 80 00 01 11 70", ["LSN 70000"]),
        (
            "06 00 0a 23 02 01 08 08 46 4c 55 53 48 41 4c 4c",
            ["SELECT 0", "COMMAND tx=35 shards=2 bytes=8 FLUSHALL"]
        ),
    ]

    @Test func `The vectors are read exactly as they are`() throws {
        for (text, expected) in Self.vectors {
            let (read, rest) = try records(hex(text))
            #expect(read == expected)
            #expect(rest == 0)
        }
    }

    @Test func `Every beginning of a stream gives its whole records and waits for the rest`() throws {
        let stream = Self.vectors.flatMap { hex($0.0) }
        let all = Self.vectors.flatMap(\.1)
        var seen = 0
        for count in 0...stream.count {
            let (read, rest) = try records(Array(stream[..<count]))
            #expect(read == Array(all.prefix(read.count)))
            #expect(read.count >= seen)
            seen = read.count
            if rest == 0 { #expect(count == 0 || read.count > 0) }
        }
        #expect(seen == all.count)
    }

    @Test func `The simulator's writers give the vectors back`() {
        let words: [([String], UInt64, UInt64, Bool, UInt32, Int)] = [
            (["SET", "k", "v"], 0, 1, false, 0, 0), (["INCR", "a"], 4, 1, false, 0, 1),
            (["SET", "x", "y"], 0, 1, false, 15, 2),
            (["SET", "a", String(repeating: "x", count: 70)], 0, 1, false, 0, 3),
            (["MSET", "a", "1"], 300, 2, false, 3, 4), (["DEL", "k"], 0, 1, true, 0, 5),
            (["FLUSHALL"], 35, 2, false, 0, 10),
        ]
        for (arguments, transactionID, shardCount, expired, database, vector) in words {
            let bytes = written { buffer in
                buffer.append(journalSelect: database)
                buffer.append(
                    journalCommand: arguments, transactionID: transactionID, shardCount: shardCount, expired: expired)
            }
            #expect(bytes == hex(Self.vectors[vector].0))
        }
        #expect(written { $0.append(journalLSN: 70000) } == hex("0f 80 00 01 11 70"))
    }

    @Test func `Arguments can be accessed by index`() throws {
        let bytes = hex(Self.vectors[0].0)
        var reader = ByteReader(bytes.span.bytes, offset: 2)
        guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 5) else {
            Issue.record("no command")
            return
        }
        let words = (command.nameText, command.argument(at: 1).text, command.argument(at: 2).text)
        #expect(words == ("SET", "k", "v"))
    }

    @Test func `Broken records and the opcodes of old masters are refused by name`() {
        let refused: [(String, WireError)] = [
            (
                "06 81 00 00 00 01 00 00 00 00",
                .tooLarge("database of a journal", value: 1 << 32, limit: 0xFFFF_FFFF, offset: 0)
            ),
            ("0a 00 01 00 00", .malformed("journal command without a name", offset: 0)),
            ("0a 00 01 01 40 65", .tooLarge("bytes of a journal command", value: 101, limit: 100, offset: 0)),
            (
                "0a 00 01 80 01 00 00 01 00",
                .tooLarge("arguments of a journal command", value: 16_777_217, limit: 16_777_216, offset: 0)
            ),
            ("0a 00 01 01 02 03 41 42 43", .malformed("journal arguments longer than their sum", offset: 5)),
            ("0a 00 01 02 03 01 41 01 42 43", .malformed("journal arguments shorter than their sum", offset: 0)),
            ("0a 00 01 01 02 c0 41 42", .unsupported("first byte of a packed integer", code: 0xC0, offset: 5)),
            ("0d c0", .unsupported("first byte of a journal opcode", code: 0xC0, offset: 1)),
            ("07", .unsupported("journal opcode", code: 7, offset: 0)),
            ("0d 41 00", .unsupported("journal opcode", code: 256, offset: 1)),
            ("00", .malformed("journal opcode NOOP, which no master writes to a replica", offset: 0)),
            ("0b 01 01", .malformed("journal opcode MULTI_COMMAND of a master before v1.24", offset: 0)),
            ("0c 01 01", .malformed("journal opcode EXEC of a master before v1.24", offset: 0)),
            ("0e", .malformed("journal opcode FIN of a slot migration, not of a replication", offset: 0)),
        ]
        for (text, expected) in refused {
            let error = #expect(throws: WireError.self) { try records(hex(text), maxPayloadBytes: 100) }
            #expect(error == expected, "\(text)")
        }
    }

    @Test func `A huge command is refused or awaited from its head alone`() throws {
        // 512 MiB announced, nothing sent: no walk, no memory
        let bytes = hex("0a 00 01 02 80 20 00 00 00")
        var reader = ByteReader(bytes.span.bytes)
        let isNil = try reader.readJournalRecord(maxPayloadBytes: 1 << 29) == nil
        #expect(isNil)
    }

    @Test func `Cut and mutated journals never trap`() {
        feedHostileBytes(Self.vectors.flatMap { hex($0.0) }) { bytes throws(WireError) in
            try records(bytes).rest == 0
        }
    }
}
