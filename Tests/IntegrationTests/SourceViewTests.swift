import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// What a DBA sees of the task at the source.
@Suite(.serialized) struct `The source's own view of its replicas` {
    private let redis: RedisServer
    private let shown = "df2redis/\(Daemon.taskName)@\(ProcessInfo.processInfo.hostName)"

    init() throws { redis = try RedisServer() }

    @Test func `names the task and its host`() throws {
        let master = try startedMaster()
        defer { master.stop() }
        try expectName(at: master.port)
        #expect(master.violations == [])
    }

    @Test(.enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
    func `names the task and its host at a real Dragonfly`() throws {
        let master = try DragonflyServer()
        defer { master.stop() }
        try expectName(at: master.port)
    }

    private func expectName(at port: UInt16) throws {
        defer { redis.stop() }
        let daemon = try Daemon(.replicate, .init(source: port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable")
        let client = try RESPClient(port: port)
        let role = RESPValue.array([.bulk([UInt8](shown)), .bulk([UInt8]("0")), .bulk([UInt8]("online"))])
        #expect(try client.command("ROLE") == .array([.bulk([UInt8]("master")), .array([role])]))
        let line = try client.info("replication", "slave0")
        #expect(line?.hasPrefix("ip=\(shown),port=0,state=online,lag=") == true, "\(line ?? "none")")
        try daemon.leave()
        #expect(try client.info("replication", "connected_slaves") == "0")
    }
}
