import Testing

@testable import DragonflySimulator

@Suite struct `The simulated handshake` {
    @Test func `the handshake has the replies of a real master`() throws {
        var setup = MasterOptions()
        setup.replicationID = "090b9cd765968fe9facc800827df0c46e1c6a051"
        let master = try startedMaster(.empty, setup)
        let main = try TestConnection(to: master)
        #expect(try main.command("PING") == .simple("PONG"))
        #expect(try main.command("REPLCONF listening-port 16379") == .ok)
        #expect(try main.command("REPLCONF capa eof capa psync2") == .ok)
        main.send("REPLCONF capa dragonfly")
        let greeting = "*4\r\n+090b9cd765968fe9facc800827df0c46e1c6a051\r\n+SYNC1\r\n:2\r\n:4\r\n"
        #expect(try main.read(greeting.utf8.count) == Array(greeting.utf8))
        #expect(try main.command("REPLCONF CLIENT-ID 2fd8000000000000000000000000000000007f47") == .ok)
        #expect(try main.command("REPLCONF CLIENT-VERSION 4") == .ok)
        #expect(
            master.main?.commands == [
                "PING", "REPLCONF listening-port 16379", "REPLCONF capa eof capa psync2", "REPLCONF capa dragonfly",
                "REPLCONF CLIENT-ID 2fd8000000000000000000000000000000007f47", "REPLCONF CLIENT-VERSION 4",
            ])
        #expect(master.violations.isEmpty)
    }

    @Test func `inline commands are understood as a Dragonfly replica sends them`() throws {
        let master = try startedMaster()
        let main = try TestConnection(to: master)
        main.send(Array("PING\r\nREPLCONF capa  dragonfly\r\n".utf8))
        #expect(try main.reply() == .simple("PONG"))
        guard case .array(let elements) = try main.reply() else {
            Issue.record("no array")
            return
        }
        #expect(elements.count == 4)
    }

    @Test func `a v1_40 master reports its lineage and protocol 5`() throws {
        let master = try startedMaster(.empty, options { $0.version = .newest })
        let main = try TestConnection(to: master)
        guard case .array(let elements) = try main.command("REPLCONF capa dragonfly") else {
            Issue.record("no array")
            return
        }
        #expect(elements.count == 5)
        #expect(elements[3] == .integer(5))
    }

    @Test(arguments: [
        ("1.10.0", 1), ("1.15.3", 2), ("1.21.0", 4), ("1.28.2", 3), ("1.28.30", 4), ("1.36.0", 4), ("1.37.0", 5),
    ])
    func `each release has its protocol number`(text: String, number: Int64) {
        #expect(DragonflyVersion(text)?.protocolNumber == number)
    }

    @Test(arguments: [
        ("REPLCONF", "ERR syntax error"), ("REPLCONF capa", "ERR syntax error"),
        ("REPLCONF nonsense 1", "ERR syntax error"),
        ("REPLCONF listening-port x", "ERR value is not an integer or out of range"),
        ("DFLY FLOW wrong SYNC1 0", "ERR bad master id"), ("DFLY FLOW ID SYNC1", "ERR syntax error"),
        ("DFLY FLOW ID sync1 0", "ERR bad sync id"), ("DFLY FLOW ID SYNC9 0", "ERR syncid not found"),
        ("DFLY FLOW ID SYNC1 2", "ERR value is not an integer or out of range"),
        ("DFLY FLOW ID SYNC1 x", "ERR value is not an integer or out of range"),
        ("DFLY FLOW ID SYNC1 0 x", "ERR value is not an integer or out of range"),
        ("DFLY SYNC SYNC1", "ERR invalid state"), ("DFLY SYNC SYNC9", "ERR syncid not found"),
        ("DFLY STARTSTABLE nonsense", "ERR bad sync id"),
    ])
    func `errors have the texts of a real master`(command: String, error: String) throws {
        let master = try startedMaster()
        let main = try TestConnection(to: master)
        try main.command("REPLCONF capa dragonfly")
        let other = try TestConnection(to: master)
        let line = command.replacing("ID", with: master.replicationID)
        #expect(try other.command(line) == .error(error))
        #expect(master.violations.isEmpty)
    }

    @Test func `only the single capability dragonfly, in lower case, starts a session`() throws {
        let master = try startedMaster()
        let main = try TestConnection(to: master)
        #expect(try main.command("REPLCONF capa DRAGONFLY") == .ok)
        #expect(try main.command("REPLCONF capa eof capa dragonfly") == .ok)
        #expect(master.sessionsStarted == 0)
    }

    @Test func `a password is required, with or without a user`() throws {
        let master = try startedMaster(.empty, options { $0.password = "secret" })
        let main = try TestConnection(to: master)
        #expect(try main.command("PING") == .error("NOAUTH Authentication required."))
        let wrong = Reply.error("WRONGPASS invalid username-password pair or user is disabled.")
        #expect(try main.command("AUTH nonsense") == wrong)
        #expect(try main.command("AUTH somebody secret") == wrong)
        #expect(try main.command("AUTH default secret") == .ok)
        #expect(try main.command("PING") == .simple("PONG"))
        let flow = try TestConnection(to: master)
        #expect(try flow.command("DFLY FLOW a b 0") == .error("NOAUTH Authentication required."))
    }

    @Test func `a replica refuses the handshake, and a Redis only answers OK`() throws {
        let replica = try startedMaster(.empty, options { $0.isReplica = true })
        #expect(
            try TestConnection(to: replica).command("REPLCONF capa dragonfly")
                == .error("ERR Replicating a replica is unsupported"))
        let redis = try startedMaster(.empty, options { $0.isRedis = true })
        #expect(try TestConnection(to: redis).command("REPLCONF capa dragonfly") == .ok)
    }

    @Test func `a master that is loading refuses commands until it is done`() throws {
        let master = try startedMaster()
        master.refuse(Refusal.loading(times: 1))
        let main = try TestConnection(to: master)
        let loading = Reply.error("LOADING Dragonfly is loading the dataset in memory")
        #expect(try main.command("PING") == loading)
        #expect(try main.command("DFLY SYNC SYNC1") == loading)
        #expect(try main.command("PING") == .simple("PONG"))
        #expect(try main.command("DFLY SYNC SYNC1") == .error("ERR syncid not found"))
    }

    @Test func `INFO and ROLE show the sessions`() throws {
        let master = try startedMaster()
        let replica = try TestReplica(master)
        try replica.main.command("REPLCONF listening-port 16379")
        try replica.greet()
        guard case .bulk(let text) = try TestConnection(to: master).command("INFO") else {
            Issue.record("no bulk")
            return
        }
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\r\n")
        #expect(lines.contains("dragonfly_version:df-v1.36.0"))
        #expect(lines.contains("connected_slaves:1"))
        #expect(lines.contains("slave0:ip=127.0.0.1,port=16379,state=preparation,lag=0"))
        #expect(lines.contains("master_replid:\(master.replicationID)"))
        let role = try TestConnection(to: master).command("ROLE")
        let line = Reply.array([.text("127.0.0.1"), .text("16379"), .text("preparation")])
        #expect(role == .array([.text("master"), .array([line])]))
    }

    @Test(arguments: ["", "df2redis/prod@db7"])
    func `INFO and ROLE show the address that a replica without a port announced, or none`(_ address: String) throws {
        let master = try startedMaster()
        let replica = try TestReplica(master)
        if !address.isEmpty { try replica.main.command("REPLCONF ip-address \(address)") }
        try replica.greet()
        guard case .bulk(let text) = try TestConnection(to: master).command("INFO replication") else {
            Issue.record("no bulk")
            return
        }
        let info = String(decoding: text, as: UTF8.self)
        #expect(info.contains("\r\nslave0:ip=\(address),port=0,state=preparation,lag=0\r\n"))
        let role = try TestConnection(to: master).command("ROLE")
        let line = Reply.array([.text(address), .text("0"), .text("preparation")])
        #expect(role == .array([.text("master"), .array([line])]))
    }
}
