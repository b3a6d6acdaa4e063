import Redis
import Testing

@testable import Replication

@Suite struct `A command that reads one key and stores another` {
    @Test func `has its destination reported, in the snapshot and after it`() throws {
        let scene = EncoderScene()
        try scene.journal("SORT src ALPHA STORE d1")
        try scene.journal("GEORADIUS src 15 37 200 km STOREDIST d2")
        #expect(scene.letters == ["store-in-full-sync \"d1\"", "store-in-full-sync \"d2\""])
        scene.encoder.snapshotCompleted()
        try scene.journal("SORT src ALPHA STORE d3")
        #expect(try scene.lines().last == "\(scene.storing) SORT src ALPHA STORE d3")
        #expect(scene.letters.last == "store-in-doubt \"d3\"")
    }
}
