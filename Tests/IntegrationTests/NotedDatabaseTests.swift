import DragonflySimulator
import Lab
import Testing
import Wire

@Suite(.serialized) struct `A database that first appears in the stable stream` {
    @Test(arguments: ["target", "file"]) func `is recorded before its first key, even if the task is killed at once`(
        _ store: String
    ) throws {
        let scene = try RedisScene(["checkpoint": ["store: \(store)", "intervalSeconds: 3600"]])
        let (master, client) = (scene.master, try scene.client)
        master.execute("SET k v")
        let first = try scene.follow()
        try client.command("SELECT", "5")
        master.execute("SET goes v", database: 5)
        master.execute("SET stays v", database: 5)
        // Two flows bring them, in either order.
        try wait(until: "both keys are there") { try client.command("EXISTS", "goes", "stays").int == 2 }
        first.process.kill()

        master.execute("DEL goes", database: 5)
        master.forgetBacklog()
        let second = try scene.start()
        try second.wait(forLine: "reconciled: 1 key removed")
        #expect(try client.command("EXISTS", "goes").int == 0)
        #expect(try client.command("EXISTS", "stays").int == 1)
        try second.leave()
    }

    @Test func `is recorded even if the target is paused at that moment`() throws {
        let scene = try RedisScene()
        let daemon = try scene.follow()
        scene.redis.pause()
        scene.master.execute("SET k v", database: 7)
        scene.master.execute("SET k v")
        scene.redis.resume()
        try scene.waitUntilEqual()
        #expect(try scene.client.command("HGET", "df2redis:checkpoint:lab", "databases").text == "0,7")
        try daemon.leave()
    }
}
