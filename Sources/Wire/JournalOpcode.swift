/// The opcodes of a journal. Source: Protocol 4.2 and 8.2.
enum JournalOpcode {
    static let select: UInt64 = 6
    static let expired: UInt64 = 9
    static let command: UInt64 = 10
    static let ping: UInt64 = 13
    static let lsn: UInt64 = 15

    /// The error for a record with any other opcode. It ends the session, because the record's length is not guessed.
    static func refusal(of opcode: UInt64, at offset: Int) -> WireError {
        switch opcode {
        case 0: .malformed("journal opcode NOOP, which no master writes to a replica", offset: offset)
        case 11: .malformed("journal opcode MULTI_COMMAND of a master before v1.24", offset: offset)
        case 12: .malformed("journal opcode EXEC of a master before v1.24", offset: offset)
        case 14: .malformed("journal opcode FIN of a slot migration, not of a replication", offset: offset)
        default: .unsupported("journal opcode", code: opcode, offset: offset)
        }
    }
}

/// Journal records as a master writes them: for the simulator and the tests.
extension ByteBuffer {
    package mutating func append(journalSelect database: UInt32) {
        append(packed: JournalOpcode.select)
        append(packed: UInt64(database))
    }

    package mutating func append(journalLSN lsn: UInt64) {
        append(packed: JournalOpcode.lsn)
        append(packed: lsn)
    }

    /// Begins a command of `argumentCount` arguments with `argumentBytes` bytes in all. The same number of
    /// `append(journalArgument:)` calls must follow.
    package mutating func appendJournalCommandHead(
        argumentCount: Int, argumentBytes: Int, transactionID: UInt64 = 0, shardCount: UInt64 = 1, expired: Bool = false
    ) {
        append(packed: expired ? JournalOpcode.expired : JournalOpcode.command)
        append(packed: transactionID)
        append(packed: shardCount)
        append(packed: UInt64(argumentCount))
        append(packed: UInt64(argumentBytes))
    }

    package mutating func append(journalArgument bytes: RawSpan) {
        append(packed: UInt64(bytes.byteCount))
        append(bytes)
    }

    /// Appends a command without the SELECT that a master puts before it. The first of `arguments` is the name.
    package mutating func append(
        journalCommand arguments: [[UInt8]], transactionID: UInt64 = 0, shardCount: UInt64 = 1, expired: Bool = false
    ) {
        appendJournalCommandHead(
            argumentCount: arguments.count, argumentBytes: arguments.reduce(0) { $0 + $1.count },
            transactionID: transactionID, shardCount: shardCount, expired: expired)
        for argument in arguments { append(journalArgument: argument.span.bytes) }
    }

    /// Appends a command whose arguments are text.
    package mutating func append(
        journalCommand arguments: [String], transactionID: UInt64 = 0, shardCount: UInt64 = 1, expired: Bool = false
    ) {
        append(
            journalCommand: arguments.map { Array($0.utf8) }, transactionID: transactionID, shardCount: shardCount,
            expired: expired)
    }
}
