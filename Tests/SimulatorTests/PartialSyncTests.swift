import Testing

@testable import DragonflySimulator

@Suite struct `A simulated partial sync` {
    /// A master with records 1 to 5 in shard 0, whose replica has left.
    private func masterWithRecords(_ change: (inout MasterOptions) -> Void = { _ in }) throws -> SimulatedMaster {
        let master = try startedMaster(.empty, options(change))
        let (replica, _) = try TestReplica.stable(on: master)
        for number in 1...5 { master.send(journal: [JournalEntry("SET k \(number)")], flow: 0) }
        try replica.leave()
        return master
    }

    @Test func `a flow goes on from any record of the buffer and from the exact next one`() throws {
        let master = try masterWithRecords()
        let replica = try TestReplica.connected(to: master, lsns: [4, 1])
        #expect(replica.answers.map(\.kind) == ["PARTIAL", "PARTIAL"])
        #expect(try replica.main.command("DFLY STARTSTABLE \(replica.sync)") == .ok)
        let records = JournalEntry("SET k 4").encoded + [0x0F, 4] + JournalEntry("SET k 5").encoded
        #expect(try replica.flows[0].read(records.count) == records)
        master.send(journal: [JournalEntry("SET k 6")], flow: 0)
        let next = JournalEntry("SET k 6").encoded
        #expect(try replica.flows[0].read(next.count) == next)
        #expect(master.fullSyncs == 1)
        #expect(master.violations.isEmpty)
    }

    @Test(arguments: [[0, 1], [7, 1], [6, 0], [6, 2]] as [[UInt64]])
    func `an LSN outside the buffer is answered FULL`(lsns: [UInt64]) throws {
        let master = try masterWithRecords()
        let replica = try TestReplica.connected(to: master, lsns: lsns)
        #expect(replica.answers.contains { $0.kind == "FULL" })
    }

    @Test func `a record that fell out of the buffer is answered FULL`() throws {
        let master = try masterWithRecords { $0.backlogRecords = 3 }
        #expect(try TestReplica.connected(to: master, lsns: [3, 1]).answers[0].kind == "PARTIAL")
        #expect(try TestReplica.connected(to: master, lsns: [2, 1]).answers[0].kind == "FULL")
        master.forgetBacklog()
        #expect(try TestReplica.connected(to: master, lsns: [3, 1]).answers[0].kind == "FULL")
        #expect(try TestReplica.connected(to: master, lsns: [6, 1]).answers[0].kind == "PARTIAL")
    }

    @Test func `a new master's journal is not active before its first flow`() throws {
        let master = try startedMaster()
        #expect(try TestReplica.connected(to: master, lsns: [1, 1]).answers.map(\.kind) == ["FULL", "PARTIAL"])
    }

    @Test func `a record that leaves the buffer between FLOW and STARTSTABLE ends the session`() throws {
        let master = try masterWithRecords { $0.backlogRecords = 3 }
        let replica = try TestReplica.connected(to: master, lsns: [3, 1])
        master.send(journal: [JournalEntry("SET k 6")], flow: 0)
        #expect(try replica.main.command("DFLY STARTSTABLE \(replica.sync)") != .ok)
        #expect(try replica.flows[0].readToEnd().isEmpty)
    }

    @Test func `before v1_35 PARTIAL flows need SYNC and come in an RDB frame`() throws {
        let master = try masterWithRecords { $0.version = DragonflyVersion(1, 31, 0) }
        let replica = try TestReplica.connected(to: master, lsns: [5, 1])
        #expect(try replica.main.command("DFLY STARTSTABLE \(replica.sync)") == .error("ERR invalid state"))
        let full = try replica.fullSync()
        let blob = SnapshotFrame.blob(JournalEntry("SET k 5").encoded)
        let end = SnapshotFrame.end + SnapshotFrame.offset(6) + SnapshotFrame.eof(token: replica.answers[0].token)
        #expect(full[0].suffix(blob.count + end.count).elementsEqual(blob + end))
        #expect(master.violations.isEmpty)
    }

    @Test func `partial sync can be refused on one flow`() throws {
        let master = try masterWithRecords()
        var faults = Faults()
        faults.refusesPartial = true
        master.setFaults(faults, on: .flow(1))
        #expect(try TestReplica.connected(to: master, lsns: [6, 1]).answers.map(\.kind) == ["PARTIAL", "FULL"])
    }
}
