import Foundation
import Testing
import Wire

@testable import Redis

/// Commands that count their own arguments.
@Suite struct `Commands of a batch` {
    private struct Stop: Error {}

    private func bytes(_ batch: CommandBatch) -> String {
        batch.bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    @Test(arguments: [0, 1, 7, 8, 9, 10, 97, 98, 99, 100, 998, 999, 1000, 12_345])
    func `count the arguments that are appended`(_ count: Int) throws {
        let values = (0..<count).map { Array("v\($0)".utf8) }
        let (batch, expected) = (CommandBatch(), CommandBatch())
        for _ in 0..<2 {
            batch.append("RPUSH") {
                $0.append("k")
                for value in values { $0.append(value) }
            }
            expected.append([Array("RPUSH".utf8), Array("k".utf8)] + values)
        }
        #expect(bytes(batch) == bytes(expected))
        #expect(batch.commandCount == 2)
    }

    @Test func `may have arguments of any length`() {
        for count in [0, 1, 9, 10, 99, 100, 999, 1000, 99_999, 100_000] {
            let batch = CommandBatch()
            batch.append("SET", Array("k".utf8), [UInt8](repeating: UInt8(ascii: "x"), count: count))
            let value = String(repeating: "x", count: count)
            #expect(
                bytes(batch)
                    == "*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$\(count)\r\n\(value)\r\n")
        }
    }

    @Test func `may reuse the memory of a batch that is no longer needed`() throws {
        let old = CommandBatch()
        old.append("SET", Array("k".utf8), [UInt8](repeating: 1, count: 100_000))
        old.seal(checkpoint: nil)
        try old.write { bytes in bytes.count / 2 }
        let memory = old.memoryBytes
        let batch = CommandBatch(inMemoryOf: old)
        #expect(batch.isEmpty && batch.byteCount == 0 && batch.memoryBytes == memory)
        #expect(old.unwrittenBytes == 0)
        batch.append("SET", Array("k".utf8), Array("v".utf8))
        batch.seal(checkpoint: nil)
        #expect(batch.unwrittenBytes == batch.byteCount && old.unwrittenBytes == 0)
    }

    @Test func `accept arguments of every kind`() throws {
        let batch = CommandBatch()
        let key = Array("key".utf8)
        var buffer = ByteBuffer()
        buffer.append("buffer")
        batch.append("A", key)
        batch.append("B", key.span.bytes, Int64(-12))
        batch.append("C", "text" as StaticString, buffer, StreamID(milliseconds: 7, sequence: 1))
        var list = ArgumentBuffer()
        list.append(Int64(1))
        list.append(key)
        batch.append("D") {
            $0.append("")
            $0.append(contentsOf: list)
            $0.append("one", followedBy: "two")
            $0.append(byteCount: 3) { $0.append("xyz") }
        }
        #expect(try batch.lines() == ["A key", "B key -12", "C text buffer 7-1", "D  1 key onetwo xyz"])
    }

    @Test func `are complete even if appending their arguments throws`() throws {
        let batch = CommandBatch()
        #expect(throws: Stop.self) {
            try batch.append("XADD") { (list) throws(Stop) in
                list.append("k")
                throw Stop()
            }
        }
        batch.append("SET", Array("a".utf8), Array("b".utf8))
        #expect(try batch.lines() == ["XADD k", "SET a b"])
    }

    @Test func `may end with a long argument that is appended in pieces`() throws {
        let batch = CommandBatch()
        batch.beginLongCommand("HSET", label: "HSET k", argumentBytes: 6) {
            $0.append("k")
            $0.append("f")
        }
        #expect(batch.isInCommand)
        for piece in ["lo", "ng", "er"] { batch.appendToLongCommand(Array(piece.utf8).span.bytes) }
        batch.endLongCommand()
        #expect(!batch.isInCommand)
        #expect(try batch.lines() == ["HSET k f longer"])
    }

    @Test func `can have an argument buffer cut back to an earlier place`() {
        var list = ArgumentBuffer()
        list.append(Array("a".utf8))
        let place = list.end
        list.append(Array("b".utf8))
        let reached = list.reaches(place)
        list.removeAll(after: place)
        let (count, bytes) = (list.count, list.bytes.count)
        #expect(reached && count == 1 && bytes == 7)
        list.removeAll()
        let (isEmpty, isReached) = (list.isEmpty, list.reaches(place))
        #expect(isEmpty && !isReached)
    }
}
