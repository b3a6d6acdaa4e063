import Testing

@testable import DragonflySimulator

/// The master misbehaves as it is asked to.
@Suite struct `Faults of the simulated master` {
    private func master(_ change: (inout MasterOptions) -> Void = { _ in }, keys: Int = 200) throws -> SimulatedMaster {
        let setup = options(change)
        let master = try SimulatedMaster(SyntheticDataSet(keys: keys), options: setup)
        try master.start()
        return master
    }

    /// A full sync without its time and its token, which differ from one to the next.
    private static func withoutTimeAndToken(_ bytes: [UInt8]) -> [UInt8] {
        let name = Array("ctime".utf8)
        var bytes = Array(bytes.dropLast(40))
        let start = bytes.indices.first { bytes[$0...].starts(with: name) } ?? 0
        // C2: an integer of 32 bits.
        precondition(bytes[start + name.count] == 0xC2, "the time is told")
        bytes.removeSubrange(start..<start + name.count + 5)
        return bytes
    }

    @Test(arguments: [Faults.Split.every(1), .every(7), .random(seed: 3, upTo: 40)])
    func `split writes carry the same bytes`(split: Faults.Split) throws {
        let master = try master()
        let whole = try TestReplica.stable(on: master).full
        master.setFaults(.splitting(split), on: .flow(0))
        master.setFaults(.splitting(split), on: .main)
        let cut = try TestReplica.stable(on: master).full
        #expect(cut.map(Self.withoutTimeAndToken) == whole.map(Self.withoutTimeAndToken))
        #expect(master.violations.isEmpty)
    }

    @Test(arguments: [0, 1, 100, 5000])
    func `a flow is dropped once after a number of bytes`(bytes: Int) throws {
        let master = try master()
        master.setFaults(.cutting(.fin, afterBytes: bytes), on: .flow(1))
        let replica = try TestReplica.connected(to: master)
        try replica.main.command("DFLY SYNC \(replica.sync)")
        #expect(try replica.flows[1].readToEnd().count == bytes)
        #expect(master.flow(1)?.sentFIN == true)
        try replica.leave()
        _ = try TestReplica.stable(on: master)
        #expect(master.violations.isEmpty)
    }

    @Test func `a flow is reset after a number of bytes`() throws {
        let master = try master()
        master.setFaults(.cutting(.rst, afterBytes: 1000), on: .flow(0))
        let replica = try TestReplica.connected(to: master)
        try replica.main.command("DFLY SYNC \(replica.sync)")
        #expect(throws: TestConnection.Gone(code: 104)) { _ = try replica.flows[0].readToEnd() }
    }

    @Test func `the main connection is dropped in the middle of a reply`() throws {
        let master = try master()
        master.setFaults(.cutting(.fin, afterBytes: 10), on: .main)
        let main = try TestConnection(to: master)
        main.send("REPLCONF capa dragonfly")
        #expect(try main.readToEnd().count == 10)
    }

    @Test func `a stalled flow goes on when it is resumed`() throws {
        let master = try master()
        master.setFaults(.cutting(.stall, afterBytes: 500), on: .flow(0))
        let replica = try TestReplica.connected(to: master)
        try replica.main.command("DFLY SYNC \(replica.sync)")
        _ = try replica.flows[0].read(500)
        _ = try replica.flows[1].read(through: SnapshotFrame.end)
        #expect(eventually { (master.flow(0)?.longestBlockedWrite ?? .zero) > .milliseconds(20) })
        #expect(master.flow(0)?.streamBytesSent == 500)
        master.resume(.flow(0))
        _ = try replica.flows[0].read(through: SnapshotFrame.end)
    }

    @Test func `a cut takes effect on an open connection`() throws {
        let master = try master()
        let (replica, _) = try TestReplica.stable(on: master)
        master.setFaults(.cutting(.fin, afterBytes: 0), on: .flow(0))
        #expect(try replica.flows[0].readToEnd().isEmpty)
    }

    @Test func `bytes can be inserted at an offset and before the end`() throws {
        let master = try startedMaster(.empty, options { $0.shardCount = 1 })
        var faults = Faults()
        faults.insertions = [9: [0xF3], 0: [0x21, 0x22]]
        faults.insertionBeforeEnd = [99, 1, 0x6B]
        master.setFaults(faults, on: .flow(0))
        let full = try TestReplica.stable(on: master).full[0]
        #expect(full.starts(with: [0x21, 0x22] + Array("REDIS0009".utf8) + [0xF3, 0xFA]))
        #expect(full.dropLast(58).suffix(12).elementsEqual([99, 1, 0x6B] + SnapshotFrame.end))
    }

    @Test func `the token can be wrong`() throws {
        let master = try startedMaster(.empty, options { $0.shardCount = 1 })
        var faults = Faults()
        faults.hasWrongToken = true
        master.setFaults(faults, on: .flow(0))
        let replica = try TestReplica.connected(to: master)
        try replica.main.command("DFLY SYNC \(replica.sync)")
        _ = try replica.flows[0].read(through: SnapshotFrame.end)
        try replica.main.command("DFLY STARTSTABLE \(replica.sync)")
        let tail = try replica.flows[0].read(58)
        #expect(tail.suffix(40).count == 40)
        #expect(!tail.suffix(40).elementsEqual(Array(replica.answers[0].token.utf8)))
    }

    @Test func `the shard can be wrong`() throws {
        let master = try startedMaster()
        var faults = Faults()
        faults.hasWrongShardID = true
        master.setFaults(faults, on: .flow(1))
        let full = try TestReplica.stable(on: master).full
        #expect(full[0].dropLast(67).last == 0)
        #expect(full[1].dropLast(67).last == 2)
    }

    @Test func `a flow can be refused`() throws {
        let master = try startedMaster()
        var faults = Faults()
        faults.refusal = "NOPERM replica has no ACL permissions"
        master.setFaults(faults, on: .flow(1))
        let replica = try TestReplica(master)
        try replica.greet()
        let flow = try TestConnection(to: master)
        #expect(
            try flow.command("DFLY FLOW \(replica.replicationID) \(replica.sync) 1")
                == .error("NOPERM replica has no ACL permissions"))
    }

    @Test func `STARTSTABLE can remain unanswered`() throws {
        let master = try startedMaster()
        master.refuse([Refusal("DFLY STARTSTABLE", reply: nil)])
        let replica = try TestReplica.connected(to: master)
        try replica.main.command("DFLY SYNC \(replica.sync)")
        for flow in replica.flows { _ = try flow.read(through: SnapshotFrame.end) }
        replica.main.send("DFLY STARTSTABLE \(replica.sync)")
        // The next reply is PING's.
        #expect(try replica.main.command("PING") == .simple("PONG"))
        #expect(master.sessionStates == ["full_sync"])
    }

    @Test func `a master that never sends its FIN keeps the flow open`() throws {
        let master = try startedMaster()
        var faults = Faults()
        faults.neverSendsFIN = true
        master.setFaults(faults, on: .flow(0))
        let (replica, _) = try TestReplica.stable(on: master)
        replica.flows[0].finish()
        #expect(try replica.flows[1].readToEnd().isEmpty)
        #expect(master.flow(0)?.sentFIN == false)
        #expect(master.flow(0)?.clientEnd == .fin)
        Sockets.set(replica.flows[0].descriptor, 1, 20, TimeLimit(seconds: 0, microseconds: 50_000))
        #expect(throws: TestConnection.Gone(code: 11)) { _ = try replica.flows[0].readToEnd() }
    }

    @Test func `a flow whose client does not read for too long ends its session`() throws {
        let master = try master(
            {
                $0.replicationTimeout = .milliseconds(50)
                $0.sendBufferBytes = 4096
            }, keys: 20_000)
        let replica = try TestReplica.connected(to: master, receiveBuffer: 4096)
        try replica.main.command("DFLY SYNC \(replica.sync)")
        #expect(eventually { master.timedOutSessions == 1 })
        #expect(master.sessionStates.isEmpty)
        // Whichever flow was full first ended the session.
        #expect(master.connections.contains { $0.longestBlockedWrite >= .milliseconds(50) })
    }
}

/// `struct timeval`.
private struct TimeLimit {
    let seconds: Int
    let microseconds: Int
}
