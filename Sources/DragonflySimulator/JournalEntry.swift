/// A record of the stable stream (Protocol 4.2), before it is encoded.
package struct JournalEntry: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case command
        /// A key that expired; the arguments are `DEL` and the key.
        case expired
        case ping
    }

    package var kind = Kind.command
    package var database = 0
    package var transaction: UInt64 = 0
    package var shardCount: UInt64 = 1
    /// The command's name and its arguments.
    package var arguments: [[UInt8]] = []

    package init(_ arguments: [[UInt8]], database: Int = 0, transaction: UInt64 = 0, shardCount: UInt64 = 1) {
        self.arguments = arguments
        self.database = database
        self.transaction = transaction
        self.shardCount = shardCount
    }

    /// Creates a record from words separated by single spaces: `JournalEntry("SET k v")`.
    package init(_ line: String, database: Int = 0, transaction: UInt64 = 0, shardCount: UInt64 = 1) {
        self.init(
            line.split(separator: " ", omittingEmptySubsequences: false).map { Array($0.utf8) }, database: database,
            transaction: transaction, shardCount: shardCount)
    }

    package static func expired(_ key: [UInt8], database: Int = 0) -> JournalEntry {
        var record = JournalEntry([Array("DEL".utf8), key], database: database)
        record.kind = .expired
        return record
    }

    package static var ping: JournalEntry {
        var record = JournalEntry([])
        record.kind = .ping
        return record
    }

    /// The record after its SELECT, as in the stream; a PING has no SELECT.
    package var encoded: [UInt8] {
        var writer = PieceWriter()
        if kind == .ping {
            writer.byte(13)
            return writer.bytes
        }
        writer.bytes.reserveCapacity(arguments.reduce(24) { $0 + $1.count + 5 })
        writer.byte(6)
        writer.length(database)
        writer.byte(kind == .expired ? 9 : 10)
        writer.packed(transaction)
        writer.packed(shardCount)
        writer.length(arguments.count)
        writer.length(arguments.reduce(0) { $0 + $1.count })
        for argument in arguments { writer.rawString(argument) }
        return writer.bytes
    }
}
