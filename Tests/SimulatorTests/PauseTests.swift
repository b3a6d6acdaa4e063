import Glibc
import Testing

@testable import DragonflySimulator

/// CLIENT PAUSE, as a real master has it (Protocol 5.7).
@Suite struct `The pause of writes at the simulated master` {
    private let master: SimulatedMaster
    private let operatorSide: TestConnection
    private let client: TestConnection

    init() throws {
        master = try startedMaster(.live(nil))
        operatorSide = try TestConnection(to: master)
        client = try TestConnection(to: master)
    }

    @Test func `writes wait until the pause ends, reads do not`() throws {
        #expect(try operatorSide.command("CLIENT PAUSE 60000 WRITE") == .ok)
        #expect(master.isPaused)
        #expect(try client.command("GET k") == .null)
        client.send("SET k v")
        client.send("GET k")
        #expect(try operatorSide.command("GET k") == .null)
        #expect(try operatorSide.command("CLIENT UNPAUSE") == .ok)
        #expect(try client.reply() == .ok)
        #expect(try client.reply() == .bulk(Array("v".utf8)))
        #expect(master.pauseCalls == (1, 1))
    }

    @Test func `the pause ends by itself`() throws {
        #expect(try operatorSide.command("CLIENT PAUSE 50 WRITE") == .ok)
        #expect(try client.command("SET k v") == .ok)
        #expect(!master.isPaused)
    }

    @Test func `a transaction that writes waits as a whole`() throws {
        #expect(try operatorSide.command("CLIENT PAUSE 60000 WRITE") == .ok)
        for (line, reply) in [("MULTI", Reply.ok), ("SET k v", .simple("QUEUED"))] {
            #expect(try client.command(line) == reply)
        }
        client.send("EXEC")
        #expect(try operatorSide.command("GET k") == .null)
        #expect(try operatorSide.command("CLIENT UNPAUSE") == .ok)
        #expect(try client.reply() == .array([.ok]))
    }

    @Test func `no key expires during the pause, and the journal does not grow`() throws {
        #expect(try operatorSide.command("CLIENT PAUSE 60000 WRITE") == .ok)
        master.execute("SET k v PX 1")
        let position = master.nextLSNs
        usleep(20_000)
        #expect(try client.command("GET k") == .bulk(Array("v".utf8)))
        #expect(master.nextLSNs == position)
        #expect(try operatorSide.command("CLIENT UNPAUSE") == .ok)
        #expect(try eventually { try client.command("GET k") == .null })
    }
}
