import Testing

@testable import DragonflySimulator

/// The simulator notices what would damage a real master.
@Suite struct `Client mistakes that a real master would not survive` {
    @Test func `CLIENT-VERSION without a session kills the master`() throws {
        let master = try startedMaster()
        let main = try TestConnection(to: master)
        main.send("REPLCONF CLIENT-VERSION 4")
        #expect(try main.readToEnd().isEmpty)
        #expect(master.violations == ["CLIENT-VERSION without a session on client 1"])
    }

    @Test func `CLIENT-VERSION after the session is gone kills the master`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        replica.flows[0].finish()
        _ = try replica.flows[0].readToEnd()
        replica.main.send("REPLCONF CLIENT-VERSION 4")
        #expect(try replica.main.readToEnd().isEmpty)
        #expect(master.violations == ["CLIENT-VERSION without a session on main of SYNC1"])
    }

    @Test func `STARTSTABLE without SYNC on FULL flows kills the master`() throws {
        let master = try startedMaster()
        let replica = try TestReplica.connected(to: master)
        replica.main.send("DFLY STARTSTABLE \(replica.sync)")
        #expect(try replica.main.readToEnd().isEmpty)
        #expect(master.violations == ["STARTSTABLE without SYNC in SYNC1"])
    }

    @Test(arguments: [[1, 1], [0, 1]] as [[UInt64]])
    func `SYNC is a violation if some or all flows are PARTIAL`(lsns: [UInt64]) throws {
        let master = try startedMaster()
        _ = try TestReplica.connected(to: master)
        let replica = try TestReplica.connected(to: master, lsns: lsns)
        #expect(try replica.main.command("DFLY SYNC \(replica.sync)") == .ok)
        #expect(master.violations == ["SYNC after PARTIAL in SYNC2"])
    }

    @Test func `v1_40 refuses SYNC after PARTIAL`() throws {
        let master = try startedMaster(.empty, options { $0.version = .newest })
        _ = try TestReplica.connected(to: master)
        let replica = try TestReplica.connected(to: master, lsns: [1, 1])
        #expect(try replica.main.command("DFLY SYNC \(replica.sync)") == .error("ERR invalid state"))
    }

    @Test func `a second capa on a connection is a violation`() throws {
        let master = try startedMaster()
        let replica = try TestReplica(master)
        try replica.greet()
        try replica.greet()
        #expect(master.violations == ["second capa dragonfly on main of SYNC1"])
        #expect(master.sessionStates.count == 2)
    }

    @Test func `commands on a stable flow are violations, ACK is none`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        replica.flows[0].send("REPLCONF ACK 1")
        #expect(try replica.flows[0].command("PING") == .simple("PONG"))
        #expect(master.violations == ["command on the stable flow 0 of SYNC1: PING"])
    }

    @Test func `an ACK before the flow is stable is a violation`() throws {
        let master = try startedMaster()
        let replica = try TestReplica.connected(to: master)
        replica.flows[0].send("REPLCONF ACK 1")
        #expect(eventually { master.violations == ["ACK 1 before flow 0 of SYNC1 is stable"] })
    }

    @Test func `an ACK of a record that was never sent, or of an earlier one, is a violation`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        for _ in 0..<3 { master.send(journal: [JournalEntry("SET k v")], flow: 0) }
        for lsn in [4, 5, 4, 3] { replica.flows[0].send("REPLCONF ACK \(lsn)") }
        replica.flows[1].send("REPLCONF ACK 0")
        #expect(
            eventually {
                Set(master.violations) == [
                    "ACK 5 above the LSN 4 on flow 0 of SYNC1", "ACK 4 below 5 on flow 0 of SYNC1",
                    "ACK 3 below 4 on flow 0 of SYNC1", "ACK 0 below 1 on flow 1 of SYNC1",
                ]
            })
    }

    @Test func `STARTSTABLE before every flow has ended its snapshot is a violation`() throws {
        let dataSet = SyntheticDataSet(keys: 5000, valueBytes: 2000)
        let setup = options { $0.sendBufferBytes = 4096 }
        let master = try startedMaster(.synthetic(EncodedDataSet(dataSet, options: setup)), setup)
        let replica = try TestReplica.connected(to: master, receiveBuffer: 4096)
        try replica.main.command("DFLY SYNC \(replica.sync)")
        replica.main.send("DFLY STARTSTABLE \(replica.sync)")
        for (flow, answer) in zip(replica.flows, replica.answers) {
            _ = try flow.read(through: Array(answer.token.utf8))
        }
        #expect(try replica.main.reply() == .ok)
        #expect(
            master.violations == [
                "STARTSTABLE before FULLSYNC_END of flow 0 of SYNC1",
                "STARTSTABLE before FULLSYNC_END of flow 1 of SYNC1",
            ])
    }

    @Test func `a reset instead of FIN is a violation`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        replica.flows[0].reset()
        #expect(eventually { master.violations == ["RST instead of FIN on flow 0 of SYNC1"] })
        #expect(master.flow(0)?.clientEnd == .rst)
        #expect(try replica.flows[1].readToEnd().isEmpty)
    }

    @Test func `closing a flow with unread data is seen as a reset`() throws {
        let master = try startedMaster()
        let (replica, _) = try TestReplica.stable(on: master)
        master.send(journal: [JournalEntry("SET k v")], flow: 0)
        #expect(eventually { master.flow(0).map { $0.streamBytesSent > 58 + 9 } ?? false })
        #expect(eventually { Sockets.unread(replica.flows[0].descriptor) > 0 })
        replica.flows[0].close()
        #expect(eventually { master.violations == ["RST instead of FIN on flow 0 of SYNC1"] })
    }

    @Test func `closing after a FIN with unread data is seen as a reset after FIN`() throws {
        let master = try startedMaster()
        var faults = Faults()
        faults.neverSendsFIN = true
        master.setFaults(faults, on: .flow(0))
        let (replica, _) = try TestReplica.stable(on: master)
        replica.flows[0].finish()
        #expect(eventually { master.flow(0)?.clientEnd == .fin })
        master.send(raw: [1, 2, 3], flow: 0)
        replica.flows[0].close()
        #expect(try replica.flows[1].readToEnd().isEmpty)
        #expect(master.violations.isEmpty)
    }

    @Test func `a flow that is half-closed and not read is a violation`() throws {
        let setup = options {
            $0.lingerLimit = .milliseconds(100)
            $0.sendBufferBytes = 16 << 10
        }
        let master = try startedMaster(.empty, setup)
        let replica = try TestReplica.connected(to: master, receiveBuffer: 4096)
        _ = try replica.fullSync()
        master.send(journal: [JournalEntry([Array("SET".utf8), [0x6B], Array(repeating: 1, count: 1 << 20)])], flow: 0)
        #expect(eventually { (master.flow(0)?.longestBlockedWrite ?? .zero) > .zero })
        replica.flows[0].finish()
        #expect(eventually { master.violations == ["half-closed and not read: flow 0 of SYNC1"] })
        #expect((master.flow(0)?.undeliveredBytes ?? 0) > 0)
    }
}
