import Foundation
import Testing

@testable import DragonflySimulator

/// Recordings are sent as they were made.
@Suite struct `Recordings that the simulator replays` {
    /// The `idle` recording of a v1.36.0 master, flow 0, from its header to its token.
    static let idleFlow0: [UInt8] =
        Array("REDIS0009".utf8) + [0xFA, 9] + Array("redis-ver".utf8) + [6] + Array("6.2.11".utf8)
        + [0xFA, 6] + Array("df-ver".utf8) + [10] + Array("df-v1.36.0".utf8)
        + [0xFA, 10] + Array("redis-bits".utf8) + [0xC0, 0x40]
        + [0xFA, 5] + Array("ctime".utf8) + [0xC2, 0xD6, 0x90, 0x03, 0x6B]
        + [0xFA, 8] + Array("used-mem".utf8) + [0xC2, 0xA0, 0x60, 0x09, 0x00]
        + [0xFA, 12] + Array("aof-preamble".utf8) + [0xC0, 0]
        + [0xFA, 11] + Array("shard-count".utf8) + [0xC0, 2]
        + [0xFA, 9] + Array("table-mem".utf8) + [0xC2, 0xF0, 0x9A, 0x08, 0x00]
        + [0xFA, 8] + Array("shard-id".utf8) + [0xC0, 0]
        + [0xC8, 0, 0, 0, 0, 0, 0, 0, 0, 0xD3, 1, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0]
        + Array("d7ed6c243a5ed9059056832cf1fd788dea693ad5".utf8)

    static let stable = JournalEntry("SET k v").encoded + [0x0F, 1] + JournalEntry("INCR n").encoded

    @Test func `a recording is split where the master waited`() throws {
        let flow = try Recording.Flow(full: Self.idleFlow0, stable: Self.stable)
        #expect(flow.bytes == Self.idleFlow0 + Self.stable)
        #expect(flow.beforeStable.suffix(9).elementsEqual(SnapshotFrame.end))
        #expect(flow.token == "d7ed6c243a5ed9059056832cf1fd788dea693ad5")
        #expect(flow.offset == 1)
        #expect(flow.records == [JournalEntry("SET k v").encoded, JournalEntry("INCR n").encoded])
    }

    @Test func `with journal blobs at the end everything before EOF goes out early`() throws {
        let offsetStart = Self.idleFlow0.count - 58
        let blob = SnapshotFrame.blob(JournalEntry("SET k v").encoded)
        let bytes = Array(Self.idleFlow0[..<offsetStart]) + blob + Array(Self.idleFlow0[offsetStart...])
        let flow = try Recording.Flow(full: bytes, stable: [])
        #expect(flow.tail.count == 49)
        #expect(flow.beforeStable + flow.tail == bytes)
    }

    @Test func `a first LSN inside a blob is derived from the first LSN record`() throws {
        var bytes = Self.idleFlow0
        // As if JOURNAL_OFFSET were in a compressed blob.
        bytes[bytes.count - 58] = 0x11
        let stable = JournalEntry("SET k v").encoded + JournalEntry("SET k w").encoded + [0x0F, 41]
        #expect(try Recording.Flow(full: bytes, stable: stable).offset == 40)
    }

    @Test func `a folder is served byte for byte, and can be continued from a record in its middle`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("recording-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(Self.idleFlow0).write(to: folder.appendingPathComponent("flow-0.full"))
        try Data(Self.stable).write(to: folder.appendingPathComponent("flow-0.stable"))
        let handshake = "[\"REPLCONF\", \"capa\", \"dragonfly\"], \"['+c43bf6aa890f409f695e143742bcfd95ce647e73', 1]\""
        try Data(handshake.utf8).write(to: folder.appendingPathComponent("handshake.json"))

        let recording = try Recording(folder: folder.path)
        #expect(recording.version == .reference)
        let master = try SimulatedMaster(recording)
        try master.start()
        #expect(master.replicationID == "c43bf6aa890f409f695e143742bcfd95ce647e73")
        let (replica, full) = try TestReplica.stable(on: master)
        #expect(full == [Self.idleFlow0])
        #expect(try replica.flows[0].read(Self.stable.count) == Self.stable)
        replica.flows[0].send("REPLCONF ACK 3")
        #expect(try replica.leave() == [[]])

        let again = try TestReplica.connected(to: master, lsns: [2])
        #expect(again.answers[0].kind == "PARTIAL")
        #expect(try again.main.command("DFLY STARTSTABLE \(again.sync)") == .ok)
        let record = JournalEntry("INCR n").encoded
        #expect(try again.flows[0].read(record.count) == record)
        #expect(master.violations.isEmpty)
    }

    @Test func `files that are no recording are refused`() {
        #expect(throws: Recording.Unreadable.self) { try Recording(folder: "/nonexistent") }
        #expect(throws: Recording.Unreadable.self) {
            try Recording.Flow(full: Array(repeating: 0, count: 100), stable: [])
        }
        #expect(throws: Recording.Unreadable.self) { try Recording.Flow(full: Self.idleFlow0, stable: [7]) }
        #expect(throws: Recording.Unreadable.self) { try Recording.Flow(full: Self.idleFlow0, stable: [6]) }
    }
}
