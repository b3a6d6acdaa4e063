/// One record of a journal.
///
/// | opcode | record | layout |
/// |---|---|---|
/// | 6 | SELECT | database |
/// | 9 | EXPIRED | transaction id, shard count, payload |
/// | 10 | COMMAND | transaction id, shard count, payload |
/// | 13 | PING | |
/// | 15 | LSN | LSN |
///
/// Every number, the opcode too, is a packed integer. Source: Protocol 4.2.
package enum JournalRecord: ~Escapable {
    /// The following commands are for `database`.
    case select(database: UInt32)
    case command(JournalCommand)
    case ping
    /// The LSN of the preceding record.
    case lsn(UInt64)
}

/// A command of a journal. It is checked completely, and its arguments are not copied.
///
/// ```
/// payload = number of arguments, sum of their lengths, then each argument: length, bytes
/// ```
package struct JournalCommand: ~Escapable {
    /// The key was deleted by its expiry or by eviction; the arguments are `DEL key`.
    package let isExpired: Bool
    /// Zero for most commands of one shard, so not unique.
    package let transactionID: UInt64
    /// Obsolete: the master itself says that it has no meaning.
    package let shardCount: UInt64
    /// The number of arguments including the name: at least 1.
    package let argumentCount: Int
    /// Sum of the arguments' lengths.
    package let argumentBytes: Int
    /// The encoded arguments, each with its length before it.
    package let payload: RawSpan
    package let name: CommandName

    /// Only `readJournalRecord` creates commands, because the iterator below relies on its checks.
    @_lifetime(copy payload)
    fileprivate init(
        isExpired: Bool, transactionID: UInt64, shardCount: UInt64, argumentCount: Int, argumentBytes: Int,
        payload: RawSpan
    ) {
        self.isExpired = isExpired
        self.transactionID = transactionID
        self.shardCount = shardCount
        self.argumentCount = argumentCount
        self.argumentBytes = argumentBytes
        self.payload = payload
        var arguments = JournalArguments(payload)
        guard let name = arguments.next() else { preconditionFailure("a command was read whole") }
        self.name = CommandName(name)
    }

    /// The arguments in order, the name of the command first.
    package var arguments: JournalArguments {
        @_lifetime(copy self)
        get { JournalArguments(payload) }
    }

    /// The name as the source writes it, in upper case.
    package var nameBytes: RawSpan {
        @_lifetime(copy self)
        get { argument(at: 0) }
    }

    /// The name for messages, up to 64 bytes of it.
    package var nameText: String {
        nameBytes.withUnsafeBytes { String(decoding: $0.prefix(64), as: UTF8.self) }
    }

    /// The argument at `index`, where the name is 0. It walks over the arguments before it.
    @_lifetime(copy self)
    package func argument(at index: Int) -> RawSpan {
        precondition(index >= 0 && index < argumentCount, "the index is one of the command's arguments")
        var arguments = self.arguments
        for _ in 0..<index { _ = arguments.next() }
        guard let argument = arguments.next() else { preconditionFailure("a command was read whole") }
        return argument
    }
}

/// A command that can be kept after the bytes from which it was read are gone.
package struct StoredJournalCommand: Sendable {
    private let isExpired: Bool
    private let transactionID: UInt64
    private let shardCount: UInt64
    private let argumentCount: Int
    private let argumentBytes: Int
    private let payload: [UInt8]

    package init(_ command: borrowing JournalCommand) {
        isExpired = command.isExpired
        transactionID = command.transactionID
        shardCount = command.shardCount
        argumentCount = command.argumentCount
        argumentBytes = command.argumentBytes
        payload = command.payload.withUnsafeBytes { Array($0) }
    }

    /// Makes a command that belongs to no record. It looks like a command of a single shard.
    ///
    /// - Parameter arguments: the arguments, the name first.
    package init(arguments: [[UInt8]]) {
        var encoded = ByteBuffer()
        for argument in arguments {
            encoded.append(packed: UInt64(argument.count))
            encoded.append(argument.span.bytes)
        }
        (isExpired, transactionID, shardCount) = (false, 0, 1)
        argumentCount = arguments.count
        argumentBytes = arguments.reduce(0) { $0 + $1.count }
        payload = encoded.withUnsafeBytes { Array($0) }
    }

    package func withCommand(_ body: (borrowing JournalCommand) -> Void) {
        body(
            JournalCommand(
                isExpired: isExpired, transactionID: transactionID, shardCount: shardCount,
                argumentCount: argumentCount,
                argumentBytes: argumentBytes, payload: payload.span.bytes))
    }
}

/// The arguments of a command that was checked when it was read.
package struct JournalArguments: ~Escapable {
    private var reader: ByteReader

    @_lifetime(copy payload)
    fileprivate init(_ payload: RawSpan) { reader = ByteReader(payload) }

    /// The next argument; `nil` after the last.
    @_lifetime(copy self)
    package mutating func next() -> RawSpan? {
        guard reader.remaining > 0 else { return nil }
        // the lengths were walked when the record was read
        guard let length = try? reader.readPackedInteger(), let count = Int(exactly: length) else { return nil }
        return reader.readSpan(count)
    }
}

extension ByteReader {
    /// Reads the next record completely, and checks the sum of the argument lengths and that there is at least one argument.
    ///
    /// - Throws: `unsupported` for an unknown opcode, `tooLarge` for arguments of more than `maxPayloadBytes`.
    /// - Returns: `nil`, without moving, when bytes are missing.
    @_lifetime(copy self)
    package mutating func readJournalRecord(maxPayloadBytes: Int) throws(WireError) -> JournalRecord? {
        let start = offset
        guard let opcode = try readPacked("first byte of a journal opcode") else { return nil }
        switch opcode {
        case JournalOpcode.select:
            if let database = try readPackedInteger() {
                guard let database = UInt32(exactly: database) else {
                    throw .tooLarge("database of a journal", value: database, limit: UInt64(UInt32.max), offset: start)
                }
                return .select(database: database)
            }
        case JournalOpcode.expired, JournalOpcode.command:
            if let command = try readJournalCommand(
                isExpired: opcode == JournalOpcode.expired, maxPayloadBytes: maxPayloadBytes, start: start)
            {
                return .command(command)
            }
        case JournalOpcode.ping: return .ping
        case JournalOpcode.lsn:
            if let lsn = try readPackedInteger() { return .lsn(lsn) }
        default: throw JournalOpcode.refusal(of: opcode, at: start)
        }
        rewind(to: start)
        return nil
    }

    /// Reads a record after its opcode. If it returns `nil`, it may have moved the cursor.
    @_lifetime(copy self)
    private mutating func readJournalCommand(
        isExpired: Bool, maxPayloadBytes: Int, start: Int
    ) throws(WireError) -> JournalCommand? {
        guard let transactionID = try readPackedInteger(), let shardCount = try readPackedInteger(),
            let argumentCount = try readPackedInteger(), let argumentBytes = try readPackedInteger()
        else { return nil }
        guard argumentCount >= 1 else { throw .malformed("journal command without a name", offset: start) }
        guard argumentCount <= UInt64(Limits.journalArguments) else {
            throw .tooLarge(
                "arguments of a journal command", value: argumentCount, limit: UInt64(Limits.journalArguments),
                offset: start)
        }
        guard argumentBytes <= UInt64(maxPayloadBytes) else {
            throw .tooLarge(
                "bytes of a journal command", value: argumentBytes, limit: UInt64(maxPayloadBytes), offset: start)
        }
        // Each argument has a length of at least one byte. This is checked first, so that a command which arrives in many
        // pieces is walked once and not once for each piece.
        let count = Int(argumentCount)
        guard Int(argumentBytes) <= remaining - count else { return nil }
        let body = offset
        var bytesLeft = argumentBytes
        for _ in 0..<count {
            let head = offset
            guard let length = try readPackedInteger() else { return nil }
            guard length <= bytesLeft else {
                throw .malformed("journal arguments longer than their sum", offset: head)
            }
            guard skip(Int(length)) else { return nil }
            bytesLeft -= length
        }
        guard bytesLeft == 0 else { throw .malformed("journal arguments shorter than their sum", offset: start) }
        return JournalCommand(
            isExpired: isExpired, transactionID: transactionID, shardCount: shardCount, argumentCount: count,
            argumentBytes: Int(argumentBytes), payload: bytes.extracting(body..<offset))
    }
}
