import Testing

@testable import Wire

/// The head of a command whose arguments are counted while they are appended.
@Suite struct `The head of a command` {
    @Test(arguments: [1, 9, 10, 12, 99, 100, 101, 1_000, 65_536])
    func `has the number of the arguments appended after it`(_ count: Int) {
        var buffer = ByteBuffer()
        var expected = ByteBuffer()
        for text in ["before", "gone"] as [StaticString] {
            buffer.append(text)
            expected.append(text)
        }
        // A place counts from the readable bytes.
        buffer.removeFirst(6)
        expected.removeFirst(6)
        let place = buffer.beginCommand()
        expected.appendCommandHead(count)
        for number in 0..<count {
            buffer.appendBulk(decimal: Int64(number))
            expected.appendBulk(decimal: Int64(number))
        }
        buffer.endCommand(at: place, argumentCount: count)
        let (bytes, wanted) = (buffer.withUnsafeBytes { Array($0) }, expected.withUnsafeBytes { Array($0) })
        #expect(bytes == wanted)
    }

    @Test func `is kept in a stored command when the buffer is gone`() throws {
        var stored: [StoredJournalCommand] = []
        do {
            var buffer = ByteBuffer()
            buffer.append(journalCommand: ["APPEND", "key", "value"], transactionID: 7, shardCount: 2, expired: true)
            var reader = ByteReader(buffer.bytes)
            guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 100) else {
                throw WireError.malformed("it is a command", offset: 0)
            }
            stored.append(StoredJournalCommand(command))
        }
        var texts: [String] = []
        stored[0].withCommand { command in
            #expect(command.isExpired && command.transactionID == 7 && command.shardCount == 2)
            #expect(command.argumentCount == 3 && command.argumentBytes == 14)
            var arguments = command.arguments
            while let argument = arguments.next() {
                texts.append(argument.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
            }
        }
        #expect(texts == ["APPEND", "key", "value"])
    }
}
