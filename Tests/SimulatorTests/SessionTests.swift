import Testing

@testable import DragonflySimulator

@Suite struct `Sessions of the simulated master` {
    @Test func `a session goes from preparation over full sync to stable`() throws {
        let master = try startedMaster(.empty, options { $0.shardCount = 3 })
        let replica = try TestReplica.connected(to: master)
        #expect(replica.answers.map(\.kind) == ["FULL", "FULL", "FULL"])
        #expect(Set(replica.answers.map(\.token)).count == 3)
        #expect(replica.answers.allSatisfy { $0.token.utf8.count == 40 })
        #expect(master.sessionStates == ["preparation"])
        #expect(try replica.main.command("DFLY SYNC \(replica.sync)") == .ok)
        for (shard, flow) in replica.flows.enumerated() {
            let head = try flow.read(through: SnapshotFrame.end)
            #expect(head.starts(with: Array("REDIS0009".utf8)))
            #expect(head.suffix(13).prefix(4).elementsEqual([0x69, 0x64, 0xC0, UInt8(shard)]))
        }
        #expect(master.sessionStates == ["full_sync"])
        #expect(try replica.main.command("DFLY STARTSTABLE \(replica.sync)") == .ok)
        for (flow, answer) in zip(replica.flows, replica.answers) {
            let tail = SnapshotFrame.offset(1) + SnapshotFrame.eof(token: answer.token)
            #expect(try flow.read(tail.count) == tail)
        }
        #expect(master.sessionStates == ["online"])
        #expect(try replica.main.command("DFLY STARTSTABLE \(replica.sync)") == .error("ERR invalid state"))
        #expect(try replica.main.command("DFLY SYNC \(replica.sync)") == .error("ERR invalid state"))
        #expect(try replica.leave().allSatisfy(\.isEmpty))
        #expect(master.violations.isEmpty)
    }

    @Test func `SYNC waits for every flow`() throws {
        let master = try startedMaster()
        let replica = try TestReplica(master)
        try replica.greet()
        #expect(try replica.main.command("DFLY SYNC \(replica.sync)") == .error("ERR invalid state"))
        let flow = try TestConnection(to: master)
        try flow.command("DFLY FLOW \(replica.replicationID) \(replica.sync) 0")
        #expect(try replica.main.command("DFLY SYNC \(replica.sync)") == .error("ERR invalid state"))
    }

    @Test func `no flow is opened once the phase has begun`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        let late = try TestConnection(to: master)
        #expect(
            try late.command("DFLY FLOW \(replica.replicationID) \(replica.sync) 0") == .error("ERR invalid state"))
    }

    @Test func `journal records of a full sync come as blobs, those after it as they are`() throws {
        let master = try startedMaster()
        let replica = try TestReplica.connected(to: master)
        try replica.main.command("DFLY SYNC \(replica.sync)")
        for flow in replica.flows { _ = try flow.read(through: SnapshotFrame.end) }
        master.send(journal: [JournalEntry("SET k v")], flow: 1)
        // Protocol V9 and V2.
        let record: [UInt8] = [0x06, 0, 0x0A, 0, 1, 3, 5, 3, 0x53, 0x45, 0x54, 1, 0x6B, 1, 0x76]
        let blob: [UInt8] = [0xD2, 0x01, 0x0F] + record
        #expect(try replica.flows[1].read(blob.count) == blob)
        try replica.main.command("DFLY STARTSTABLE \(replica.sync)")
        let tail = try replica.flows[1].read(through: Array(replica.answers[1].token.utf8))
        #expect(tail.starts(with: SnapshotFrame.offset(2)))
        master.send(journal: [JournalEntry("SET k v"), JournalEntry("SET k v")], flow: 1)
        // The first record of a flow is followed by an LSN record.
        let stable = record + [0x0F, 0x02] + record
        #expect(try replica.flows[1].read(stable.count) == stable)
        #expect(master.nextLSNs == [1, 4])
        #expect(try replica.main.command("DFLY REPLICAOFFSET") == .array([.integer(1), .integer(4)]))
    }

    @Test func `records have the layout of the protocol's vectors`() {
        let increment = JournalEntry("INCR a", transaction: 4, shardCount: 2)
        #expect(
            increment.encoded == [6, 0, 0x0A, 4, 1, 2, 5, 4, 0x49, 0x4E, 0x43, 0x52, 1, 0x61].replacing(at: 4, with: 2))
        let expired: [UInt8] = [6, 0, 9, 0, 1, 2, 4, 3, 0x44, 0x45, 0x4C, 1, 0x6B]
        #expect(JournalEntry.expired(Array("k".utf8)).encoded == expired)
        #expect(JournalEntry.ping.encoded == [0x0D])
        let multi = JournalEntry("MSET a 1", database: 3, transaction: 300, shardCount: 2)
        #expect(
            multi.encoded == [6, 3, 0x0A, 0x41, 0x2C, 2, 3, 6, 4, 0x4D, 0x53, 0x45, 0x54, 1, 0x61, 1, 0x31])
        let flush = JournalEntry("FLUSHALL", transaction: 35, shardCount: 2)
        #expect(flush.encoded == [6, 0, 0x0A, 0x23, 2, 1, 8, 8, 0x46, 0x4C, 0x55, 0x53, 0x48, 0x41, 0x4C, 0x4C])
    }

    @Test func `acknowledgements are stored, with the lag that remains`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        for _ in 0..<3 { master.send(journal: [JournalEntry("SET k v")], flow: 0) }
        replica.flows[0].send("REPLCONF ACK 1")
        replica.flows[0].send("REPLCONF ACK nonsense")
        replica.flows[0].send("REPLCONF ACK 3")
        #expect(eventually { master.flow(0)?.acknowledgements.map(\.lsn) == [1, 3] })
        #expect(master.flow(0)?.commands.count == 1)
        #expect(master.violations.isEmpty)
    }

    @Test func `a client's FIN on one flow ends the session and leaves the main connection`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        replica.flows[1].finish()
        #expect(try replica.flows[0].readToEnd().isEmpty)
        #expect(try replica.flows[1].readToEnd().isEmpty)
        #expect(master.sessionStates.isEmpty)
        #expect(try replica.main.command("PING") == .simple("PONG"))
        #expect(try replica.main.command("DFLY SYNC \(replica.sync)") == .error("ERR syncid not found"))
        for flow in replica.flows { flow.close() }
        replica.main.close()
        #expect(eventually { master.connections.allSatisfy(\.isClosed) })
        #expect(master.connections.map(\.clientEnd) == [.fin, .fin, .fin])
        #expect(master.flow(1)?.endOrder == 1)
        #expect(master.connections.allSatisfy { $0.undeliveredBytes == 0 && !$0.wasResetAfterFIN })
        #expect(master.violations.isEmpty)
    }

    @Test func `the main connection's FIN ends all flows`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        replica.main.finish()
        for flow in replica.flows { #expect(try flow.readToEnd().isEmpty) }
        #expect(try replica.main.readToEnd().isEmpty)
        #expect(eventually { master.main?.endOrder == 1 && master.sessionStates.isEmpty })
    }

    @Test func `the master can end its sessions itself`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        master.endSessions()
        for flow in replica.flows { #expect(try flow.readToEnd().isEmpty) }
        #expect(try replica.main.command("PING") == .simple("PONG"))
    }

    @Test func `a restart closes all connections and changes the replication id`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        master.send(journal: [JournalEntry("SET k v")], flow: 0)
        let id = master.replicationID
        master.restart()
        #expect(try replica.main.readToEnd().isEmpty)
        #expect(master.replicationID != id)
        #expect(master.nextLSNs == [1, 1])
        let (again, _) = try TestReplica.stable(on: master)
        #expect(again.replicationID == master.replicationID)
    }

    @Test func `masters stop cleanly, a hundred in a row`() throws {
        for _ in 0..<100 {
            let master = try startedMaster()
            let replica = try TestReplica.connected(to: master)
            master.stop()
            master.stop()
            #expect(try replica.main.readToEnd().isEmpty)
            #expect(!master.connections.contains { !$0.isClosed })
        }
    }
}

extension [UInt8] {
    func replacing(at index: Int, with byte: UInt8) -> [UInt8] {
        var copy = self
        copy[index] = byte
        return copy
    }
}
