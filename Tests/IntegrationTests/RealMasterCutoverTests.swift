import Foundation
import Lab
import Testing
import Wire

@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `A cut-over from a real Dragonfly` {
    @Test(arguments: [1, 2, 4]) func `under load loses no acknowledged write`(_ shards: Int) throws {
        let master = try DragonflyServer(shards: shards)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let source = try master.client()
        try source.command("DEBUG", "POPULATE", "20000", "filler", "64")
        // Keys that are due while writers wait, and after it.
        for number in 0..<500 { try source.command("SET", "soon:\(number)", "v", "PX", "\(3000 + number * 20)") }
        try source.command("SET", "later", "v", "PX", "3600000")
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        // Time is for the switch alone; what is at the target is compared at the end.
        // A debug build applies one flow's records more slowly than six clients write them.
        let writers = CountingWriters(port: master.port, clients: shards == 1 ? 2 : 6, patience: .seconds(2))
        try wait(until: "clients write") { writers.acknowledged > 5000 }
        let folder = try TemporaryFolder("cutover")
        let cutover = try ChildProcess(
            BuiltProgram.daemon.path, ["cutover", "lab"], output: folder.file("output"),
            error: folder.file("error"), environment: ["RUNTIME_DIRECTORY": daemon.folder.file("run")])
        #expect(try cutover.waitForEnd(timeout: .seconds(60)) == .exited(0), "\(cutover.output)\(cutover.errorOutput)")
        try daemon.expectExit(0)
        let seconds = try #require(waited(cutover.output))
        print("\(shards) shards: writers waited \(seconds) s")
        #expect(seconds < 1)
        try wait(until: "the clients have gone") { writers.running == 0 }
        let target = try redis.client()
        #expect(try writers.missing(at: target) == [])
        #expect(
            try target.command("PEXPIRETIME", "later").int == source.command("PEXPIRETIME", "later").int)
    }
}
