import Dragonfly
import Lab
import Logging
import Testing

@testable import Redis
@testable import Replication

/// The answer to a removal does not come: it may be in the target's socket, and run after what a flow writes next.
@Suite struct `A removal whose outcome is unknown` {
    /// What happens, in order.
    private actor Story {
        private(set) var events: [String] = []
        func add(_ event: String) { events.append(event) }
    }

    private struct Flow: ReconciledFlow {
        let story: Story
        var hasEnded = false
        /// Does not become quiet before it is cancelled.
        var waits = false

        func notBrought(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] { keys }
        func quiesce() async {
            await story.add("hold")
            while waits, !Task.isCancelled { await Task.yield() }
        }
        func release() async { await story.add("release") }
    }

    /// Does not answer a removal, and can be reconnected after `failures` failed attempts.
    private actor Target: ReconciledTarget {
        private let story: Story
        private let waits: Bool
        private var failures: Int

        init(_ story: Story, waits: Bool, failures: Int) {
            (self.story, self.waits, self.failures) = (story, waits, failures)
        }

        func scan(database: UInt32, cursor: String) -> (cursor: String, keys: [[UInt8]]) {
            ("0", [Array("old".utf8), Array("df2redis:checkpoint:x".utf8)])
        }

        func unlink(_ keys: [[UInt8]], database: UInt32) async throws(TargetError) {
            await story.add("unlink \(keys.count)")
            while waits, !Task.isCancelled { await Task.yield() }
            throw TargetError(.unreachable, "no answer")
        }

        func renew() async throws(TargetError) {
            if Task.isCancelled { await story.add("cancelled") }
            guard failures == 0 else {
                failures -= 1
                await story.add("away")
                throw TargetError(.unreachable, "away")
            }
            await story.add("known")
        }
    }

    private func reconciler(_ flow: Flow, _ target: Target) -> Reconciler {
        Reconciler(
            control: target, flows: [flow], retry: RetryPolicy(initial: .milliseconds(1)),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            reserved: ReservedKeys(checkpoint: "df2redis:checkpoint:x"))
    }

    @Test func `holds the flows until the outcome is known`() async {
        let story = Story()
        let reconciler = reconciler(Flow(story: story), Target(story, waits: false, failures: 2))
        await #expect(throws: TargetError.self) { try await reconciler.run(databases: [0]) }
        #expect(await story.events == ["hold", "unlink 1", "away", "away", "known", "release"])
    }

    @Test func `holds the flows even if the removal is cancelled`() async throws {
        let story = Story()
        let reconciler = reconciler(Flow(story: story), Target(story, waits: true, failures: 1))
        let removal = Task { try await reconciler.run(databases: [0]) }
        try await wait(until: "the removal is sent") { await story.events.count == 2 }
        removal.cancel()
        _ = await removal.result
        #expect(await story.events == ["hold", "unlink 1", "away", "known", "release"])
    }

    @Test func `is not sent if it is cancelled before the flows are quiet`() async throws {
        let story = Story()
        let reconciler = reconciler(Flow(story: story, waits: true), Target(story, waits: false, failures: .max))
        let removal = Task { try await reconciler.run(databases: [0]) }
        try await wait(until: "the flow is to hold still") { await story.events == ["hold"] }
        removal.cancel()
        _ = await removal.result
        #expect(await story.events == ["hold", "release"])
    }

    @Test func `does not wait for a flow that has been closed`() async throws {
        let scene = EncoderScene()
        let intake = Intake(
            budget: SpoolBudget(memoryBytes: 1 << 20, diskBytes: 0), spoolDirectory: nil, clock: { 0 })
        let applier = try FlowApplier(
            flow: FlowID(0), start: FlowStart(mode: .partial, next: LSN(1)), intake: intake,
            context: scene.context, profile: scene.profile, onEvent: { _ in })
        await applier.close()
        let story = Story()
        Task {
            await applier.quiesce()
            await story.add("held")
        }
        try await wait(until: "it is held") { await story.events == ["held"] }
    }

    @Test func `is not waited for if no flow will write any more`() async {
        let story = Story()
        let reconciler = reconciler(
            Flow(story: story, hasEnded: true), Target(story, waits: false, failures: .max))
        await #expect(throws: TargetError.self) { try await reconciler.run(databases: [0]) }
        #expect(await story.events == ["hold", "unlink 1", "away", "release"])
    }
}

@Suite struct `A full sync from another source` {
    @Test(
        arguments: [
            (1, 1000, true), (9, 1000, true), (10, 1000, false), (1, 12_004, true), (120, 12_004, false),
            (1, 999, false),
        ])
    func `removes nothing if it has brought hardly any keys`(_ keys: Int, _ before: Int, _ stops: Bool) {
        #expect(RemovalGuard.forbids(bringing: keys, over: before) == stops)
    }
}

@Suite struct `The source that a target was filled from` {
    private func source(_ fields: [String: String]) -> String? { CheckpointStore.Opening(fields: fields).source }

    private let positions = ["flow:0": "stable abc 2 7", "flow:1": "stable abc 2 9"]

    @Test func `is stored by itself, and outlives the positions`() {
        #expect(source(["databases": "0", "source": "abc", "stopped": "by policy"]) == "abc")
        let next = ["flow:0": "snapshot def SYNC1 4", "reconcile": "pending", "source": "abc"]
        #expect(source(next) == "abc", "the next one's full sync has not removed its keys yet")
    }

    @Test func `is that of the positions if an earlier version has stored nothing else`() {
        #expect(source(positions) == "abc")
        #expect(source(positions.merging(["reconcile": "pending"]) { $1 }) == nil)
        #expect(source(["databases": "0"]) == nil)
    }

    @Test func `is compared with the source of the next full sync`() {
        #expect(PreviousSource("abc", next: "abc") == nil)
        #expect(PreviousSource("abc", next: "def") == .another)
        #expect(PreviousSource(nil, next: "def") == .unknown)
    }
}

@Suite struct `Other tasks of a target` {
    @Test func `count as filling it as soon as they have a database`() {
        let tasks = OtherTasks(databases: ["failed": [], "prod": [0, 3]])
        #expect(tasks.filling == OtherTasks(databases: ["prod": [0, 3]]))
        #expect(tasks.filling.description == "prod (databases 0, 3)")
        #expect(OtherTasks(databases: ["failed": []]).filling.isEmpty)
        let log = RecordedLog()
        IncidentLog(logger: log.logger, path: nil).report(OtherTasks(databases: ["failed": []]))
        #expect(log.messages.isEmpty)
    }
}
