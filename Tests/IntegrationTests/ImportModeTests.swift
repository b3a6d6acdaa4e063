import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// The task switches off the import mode that it has switched on, or the Valkey would never expire a key again.
@Suite(.serialized, .enabled(if: RedisServer.valkeyBinary != nil, "VALKEY_BIN names no Valkey"))
struct `The import mode of a Valkey` {
    private final class Scene: TaskScene<RedisServer> {
        init(_ sections: [String: [String]] = [:]) throws {
            try super.init(
                from: startedMaster(), into: RedisServer(binary: RedisServer.valkeyBinary),
                RedisScene.retryingSoon.merging(sections) { $1 })
            master.execute("SET k v")
            try follow()
        }

        var mode: String? { get throws { try client.command("CONFIG", "GET", "import-mode").array?.last?.text } }
    }

    private static let stores = [["store: target"], ["store: file", "intervalSeconds: 1"]]

    @Test(arguments: stores) func `ends with the leave, however often the task was killed before`(
        _ checkpoint: [String]
    ) throws {
        let scene = try Scene(["checkpoint": checkpoint])
        for _ in 1...2 {
            #expect(try scene.mode == "yes")
            scene.daemon.process.kill()
            try scene.start().wait(forLine: "event=stable")
        }
        try scene.daemon.leave()
        #expect(try scene.mode == "no")
        #expect(try scene.client.command("HEXISTS", "df2redis:checkpoint:lab", "import-mode").int == 0)
    }

    @Test(arguments: stores) func `ends with the leave after a FLUSHALL of the source and a kill`(
        _ checkpoint: [String]
    ) throws {
        let scene = try Scene(["checkpoint": checkpoint])
        scene.master.execute("FLUSHALL")
        try scene.daemon.wait(forLine: "FLUSHALL applied")
        scene.daemon.process.kill()
        try scene.start().wait(forLine: "event=stable")
        try scene.daemon.leave()
        #expect(try scene.mode == "no")
    }

    @Test func `ends with the leave when somebody else has emptied the target meanwhile`() throws {
        let scene = try Scene()
        try scene.client.command("FLUSHALL")
        try scene.daemon.wait(forLine: "full sync is needed")
        try wait(until: "it follows again") {
            scene.daemon.count(of: "stable: following") == 2
        }
        try scene.daemon.leave()
        #expect(try scene.mode == "no")
    }

    @Test func `stays on if the operator has switched it on`() throws {
        let scene = try Scene()
        try scene.daemon.leave()
        try scene.client.command("CONFIG", "SET", "import-mode", "yes")
        try scene.start().wait(forLine: "event=stable")
        try scene.daemon.leave()
        #expect(try scene.mode == "yes")
    }

    @Test func `ends when the task ends with an error that no restart resolves`() throws {
        let scene = try Scene()
        try scene.replaceMaster { port in
            var options = MasterOptions()
            options.port = port
            let another = try SimulatedMaster(.live(nil), options: options)
            another.refuse([Refusal("PING", reply: "NOPERM user has no ACL permissions")])
            try another.start()
            return another
        }
        try scene.daemon.expectExit(77)
        #expect(try scene.mode == "no")
    }

    @Test func `ends with a leave requested while a lost source is being left`() throws {
        let scene = try Scene(["shutdown": ["drainSeconds: 0", "finWaitSeconds: 3"]])
        var faults = Faults()
        faults.neverSendsFIN = true
        for flow in 0...1 { scene.master.setFaults(faults, on: .flow(flow)) }
        scene.master.cut(.main, byReset: false)
        try scene.daemon.wait(forLine: "FIN sent on")
        try scene.daemon.leave()
        #expect(try scene.mode == "no", "\(scene.daemon.log)")
    }
}
