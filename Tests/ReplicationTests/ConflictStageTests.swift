import Foundation
import Redis
import Testing

@testable import Replication

@Suite struct `A conflict policy and the journal of a full sync` {
    private func scene() -> EncoderScene {
        EncoderScene(
            policy: { $0.onConflict = .skip }, start: { $0.conflictFolder = NSTemporaryDirectory() })
    }

    private func questions(_ scene: EncoderScene) -> [String] {
        scene.encoder.questions.map { "\($0.database) \(String(decoding: $0.key, as: UTF8.self))" }
    }

    @Test func `commands on unknown keys wait for the target's answer, and later commands wait in order`() throws {
        let scene = scene()
        scene.string("brought")
        try scene.journal("APPEND brought x")
        #expect(scene.encoder.halt == nil)
        try scene.journal("MSET a 1 b 2")
        for line in ["APPEND brought y", "SET c 3", "SET a 4"] { try scene.journal(line) }
        #expect(scene.encoder.isPaused)
        #expect(questions(scene) == ["0 a", "0 b"])
        let before = ["SELECT 0", "SET brought v NX", "APPEND brought x"]
        #expect(try scene.lines() == before)
        scene.encoder.resumeAfterQuestions(existing: [])
        #expect(questions(scene) == ["0 c"])
        #expect(try scene.lines() == before + ["MSET a 1 b 2", "APPEND brought y"])
        scene.encoder.resumeAfterQuestions(existing: [.init(database: 0, key: Array("c".utf8))])
        #expect(scene.encoder.halt == nil)
        try scene.journal("RENAME a c")
        try scene.journal("SET a 5")
        #expect(try scene.lines() == before + ["MSET a 1 b 2", "APPEND brought y", "SET a 4", "SET a 5"])
    }

    @Test func `all keys belong to the task once the flow is stable`() throws {
        let scene = scene()
        scene.becomeStable()
        try scene.journal("SET a 1", inSnapshot: false)
        #expect(scene.encoder.halt == nil)
        #expect(try scene.lines() == ["SELECT 0", "SET a 1"])
    }
}
