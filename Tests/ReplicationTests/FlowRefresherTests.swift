import Dragonfly
import Foundation
import Logging
import Redis
import Testing

@testable import Replication

@Suite struct `A value that was read at the source` {
    private let scene: EncoderScene
    private let queue: RefreshQueue
    private let refresher: FlowRefresher
    private let key = RefreshKey(database: 0, key: Array("k".utf8))
    /// The string "v" (Protocol V22).
    private static let payload: [UInt8] = [
        0x00, 0x01, 0x76, 0x09, 0x00, 0x41, 0xfa, 0x9f, 0x7e, 0x4d, 0xbe, 0xe9, 0x7f,
    ]

    init() throws {
        let queue = RefreshQueue(path: nil, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        self.queue = queue
        scene = EncoderScene(context: { $0.refreshes = queue })
        scene.becomeStable()
        refresher = try #require(scene.encoder.refresher)
    }

    private func ask() { queue.ask(RefreshRequest(key, flow: FlowID(0))); _ = queue.take(atMost: 1) }

    private func answer(_ payload: [UInt8]?, before: UInt64, after: UInt64, expiresAt: Int64? = nil) {
        refresher.answer(
            key, .init(payload: payload, expiresAt: expiresAt, reading: .init(before: before, after: after)))
    }

    private var names: [String] {
        ((try? scene.lines()) ?? []).map { String($0.prefix { $0 != " " }) }.filter { $0 != "MULTI" && $0 != "SELECT" }
    }

    @Test func `is written when the stream reaches the position at which it was read`() throws {
        ask()
        #expect(refresher.begin([key]) == [key])
        answer(Self.payload, before: 2, after: 3)
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        #expect(names == [])
        try scene.journal("SET k old", inSnapshot: false)
        try scene.journal("SET other v", inSnapshot: false)
        try scene.journal("APPEND k x", inSnapshot: false)
        #expect(names == ["SET", "SET", "RESTORE", "APPEND"])
        #expect(scene.encoder.nextLSN == 4, "it takes no LSN")
        #expect(scene.encoder.batch.progress.refreshes == 1)
        #expect(queue.figures.refreshed == 0, "nobody has confirmed it")
        refresher.confirmed(scene.encoder.batch.progress)
        #expect(queue.figures.refreshed == 1)
        #expect(queue.figures.waiting == 0)
    }

    @Test func `is read again if a record has changed the key since`() throws {
        ask()
        _ = refresher.begin([key])
        try scene.journal("SET k one", inSnapshot: false)
        try scene.journal("APPEND k x", inSnapshot: false)
        answer(Self.payload, before: 2, after: 3)
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        #expect(names == ["SET", "APPEND"])
        #expect(queue.figures.retried == 1)
        #expect(queue.figures.waiting == 1)
    }

    @Test func `is dropped when a record has removed the key`() throws {
        ask()
        _ = refresher.begin([key])
        answer(Self.payload, before: 1, after: 9)
        try scene.journal("DEL other k", inSnapshot: false)
        #expect(names == ["DEL"])
        #expect(queue.figures.overtaken == 1)
    }

    @Test func `is removed from the target if the source no longer has it`() throws {
        ask()
        _ = refresher.begin([key])
        answer(nil, before: 1, after: 1)
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        #expect(names == ["UNLINK"])
        refresher.confirmed(scene.encoder.batch.progress)
        #expect(queue.figures.removed == 1)
    }

    @Test func `of an unsupported type removes an older value from the target`() throws {
        ask()
        _ = refresher.begin([key])
        // A bloom filter without a checksum; its contents are not examined.
        answer([33, 0, 9, 0] + [UInt8](repeating: 0, count: 8), before: 1, after: 1)
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        #expect(names == ["UNLINK"])
        #expect(scene.letters == ["bloom-filter \"k\""])
        #expect(scene.failure == nil)
        #expect(queue.figures.leftOut == 0, "nobody has confirmed that it is gone")
        refresher.confirmed(scene.encoder.batch.progress)
        #expect(queue.figures.leftOut == 1)
        #expect(queue.figures.failed == 0, "the policy says so")
        #expect(queue.figures.waiting == 0)
    }

    @Test func `is not written if it comes from another master`() throws {
        try scene.journal("SET k one", inSnapshot: false)
        ask()
        _ = refresher.begin([key])
        answer(Self.payload, before: 0, after: 0)
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        #expect(names == ["SET"])
        #expect(queue.figures.waiting == 1)
    }

    @Test func `is written with the deadline that was read`() throws {
        ask()
        _ = refresher.begin([key])
        answer(Self.payload, before: 1, after: 1, expiresAt: EncoderScene.now + 5000)
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        #expect(try scene.lines().contains { $0.hasPrefix("RESTORE k \(EncoderScene.now + 5000) ") })
    }

    @Test func `is removed if it is an empty list, which Redis cannot hold`() throws {
        ask()
        _ = refresher.begin([key])
        // Of a v1.36.0, after SORT k LIMIT 5 5 STORE k.
        answer(
            [0x12, 0x00, 0x09, 0x00, 0xb9, 0x04, 0xd5, 0x97, 0x3e, 0x9d, 0xdc, 0xe6], before: 1, after: 1)
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        #expect(names == ["UNLINK"])
        refresher.confirmed(scene.encoder.batch.progress)
        #expect(queue.figures.removed == 1)
    }

    @Test func `that the target refuses is left out, and the task goes on`() throws {
        let scene = EncoderScene(policy: { _ in }, context: { $0.refreshes = queue })
        scene.becomeStable()
        let refresher = try #require(scene.encoder.refresher)
        ask()
        _ = refresher.begin([key])
        refresher.answer(key, .init(payload: Self.payload, expiresAt: nil, reading: .init(before: 1, after: 1)))
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        let batch = scene.encoder.batch
        let restore = try #require(scene.wireLines().firstIndex { $0.hasPrefix("RESTORE k ") })
        let classifier = ReplyClassifier(scene.context, scene.encoder.reports, nil)
        let refusal = UnexpectedReply(command: restore, kind: .error("ERR Bad data format"))
        for copy in [batch, batch.inSingleCommands()] {
            #expect(classifier.classify(refusal, of: copy) == nil)
        }
        #expect(scene.letters == ["refresh-refused \"k\""])
        refresher.confirmed(scene.encoder.batch.progress)
        #expect(queue.figures.failed == 1)
        #expect(queue.figures.waiting == 0)
        #expect(queue.figures.refreshed == 0)
    }

    @Test func `is requested if the stream's record is incomplete`() throws {
        try scene.journal("SORT k", inSnapshot: false)
        #expect(queue.figures.asked == 0)
        try scene.journal("SORT ALPHA STORE", inSnapshot: false)
        try scene.journal("GEORADIUS k", inSnapshot: false)
        #expect(queue.take(atMost: 9).map(\.key) == [key])
    }

    @Test func `waits during a FLUSHALL, and is read again after it`() throws {
        ask()
        _ = refresher.begin([key])
        try scene.journal("FLUSHALL", inSnapshot: false)
        answer(Self.payload, before: 1, after: 1)
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        #expect(!names.contains("RESTORE"))
        scene.encoder.resumeAfterGlobal()
        scene.encoder.writeRefreshes(at: EncoderScene.now)
        #expect(!names.contains("RESTORE"))
        #expect(queue.figures.retried == 1)
    }
}
