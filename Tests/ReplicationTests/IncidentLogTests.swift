import Testing

@testable import Replication

@Suite struct `The dead-letter file` {
    @Test func `names each key once a kind, and no rate limiter`() throws {
        let scene = EncoderScene()
        for number in 1...50 {
            try scene.journal("CL.THROTTLE gate:\(number) 1 2 3")
            try scene.journal("BF.ADD filter:\(number % 2) \(number)")
            try scene.journal("JSON.SET filter:1 $ {}")
        }
        #expect(
            scene.letters == ["bloom-filter \"filter:1\"", "json \"filter:1\"", "bloom-filter \"filter:0\""])
        #expect(scene.incidents.totals == ["throttle": 50, "bloom-filter": 50, "json": 50])
    }

    @Test func `is bounded, and the counters are not`() throws {
        let scene = EncoderScene(maxFileBytes: 2000)
        for number in 1...50 { try scene.journal("BF.ADD filter:\(number) x") }
        let count = scene.letters.count
        #expect(5...20 ~= count)
        #expect(scene.letters.last == "bloom-filter \"filter:\(count)\"", "whole lines only")
        #expect(scene.incidents.totals == ["bloom-filter": 50])
    }
}
