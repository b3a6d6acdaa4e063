import Dragonfly
import DragonflySimulator
import Lab
import Redis
import Testing
import Wire

@testable import Replication

extension RunAlone {
    /// A session by itself, from its opening to its leave, with a simulated master and a real target.
    @Suite struct `A session in this process` {}
}

extension RunAlone.`A session in this process` {
    @Test func `opens in seven steps, brings every key, follows, and leaves with its position in the target`()
        async throws
    {
        let scene = try SessionScene()
        let task = scene.task()
        let session = await ReplicationSession(task, history: SessionHistory())
        async let end = session.run()
        try await scene.wait(until: .stable)
        #expect(scene.notices.details == OpeningStep.allCases.map(\.place))
        scene.master.execute("INCRBY counter 7")
        let client = try scene.redis.client()
        try await eventually("the record is applied") { try client.command("GET", "counter").text == "7" }
        await session.requestLeave()
        #expect(try await end == .left)
        #expect(try client.command("GET", "key:99").text?.isEmpty == false)
        let outcome = await session.outcome
        #expect(outcome.hasBegun && outcome.isFullSync && outcome.stableTime != nil)
        #expect(try client.command("HGET", task.checkpointKey.name, "databases").text == "0")
        await task.lease.release()
        try await scene.expectLeft()
    }

    @Test func `resumes where the session before has left, without a second snapshot`() async throws {
        let scene = try SessionScene()
        let task = scene.task()
        for round in 1...2 {
            let session = await ReplicationSession(task, history: SessionHistory())
            async let end = session.run()
            try await eventually("it follows") { await session.outcome.stableTime != nil }
            scene.master.execute("INCR counter")
            let client = try scene.redis.client()
            try await eventually("the record is applied") { try client.command("GET", "counter").text == "\(round)" }
            await session.requestLeave()
            #expect(try await end == .left)
            #expect(await session.outcome.isFullSync == (round == 1))
        }
        #expect(scene.master.fullSyncs == 1)
        await task.lease.release()
        try await scene.expectLeft()
    }

    @Test func `ends by itself in a migration, and leaves no position`() async throws {
        let scene = try SessionScene()
        let task = scene.task { $0.mode = .migrate }
        let session = await ReplicationSession(task, history: SessionHistory())
        #expect(try await session.run() == .completed)
        var summary = ReplicationSummary()
        await session.contribute(to: &summary)
        #expect(summary.keys == 100 && summary.fullSyncs == 1)
        let client = try scene.redis.client()
        #expect(try client.command("HEXISTS", task.checkpointKey.name, "flow:0").int == 0)
        await task.lease.release()
        try await scene.expectLeft()
    }

    @Test func `counts each key once if the full sync is repeated`() async throws {
        let scene = try SessionScene()
        let task = scene.task { $0.mode = .migrate }
        var summary = ReplicationSummary()
        for _ in 1...2 {
            let session = await ReplicationSession(task, history: SessionHistory())
            #expect(try await session.run() == .completed)
            await session.contribute(to: &summary)
        }
        #expect(summary.keys == 100 && summary.fullSyncs == 2)
        await task.lease.release()
        try await scene.expectLeft()
    }

    @Test(arguments: OpeningStep.allCases)
    func `leaves in order at each step of the opening`(_ step: OpeningStep) async throws {
        let scene = try SessionScene()
        let task = scene.task()
        let session = await ReplicationSession(task, history: SessionHistory())
        scene.notices.react { status in
            if status.detail == step.place { Task { @SessionActor in session.requestLeave() } }
        }
        #expect(try await session.run() == .left)
        #expect(scene.notices.details.contains(step.place))
        // Building the flows waits for no peer.
        let next = step == .buildFlows ? nil : OpeningStep(rawValue: step.rawValue + 1)
        #expect(next == nil || !scene.notices.details.contains(next?.place ?? ""), "the step was cut short")
        #expect(scene.notices.phases.last == .leaving)
        await task.lease.release()
        try await scene.expectLeft()
    }

    @Test func `leaves in the full sync without waiting for its end`() async throws {
        let scene = try SessionScene(keys: 20_000)
        scene.master.setFaults(.cutting(.stall, afterBytes: 50_000), on: .flow(0))
        let task = scene.task()
        let session = await ReplicationSession(task, history: SessionHistory())
        async let end = session.run()
        try await eventually("the sync has begun") { await session.outcome.hasBegun }
        await session.requestLeave()
        scene.master.resume(.flow(0))
        #expect(try await end == .left)
        #expect(scene.notices.phases.last == .leaving)
        await task.lease.release()
        try await scene.expectLeft()
    }
}

extension RunAlone {
    /// The error of a session contains its phase, its flow and its cause.
    @Suite struct `How a session fails` {}
}

extension RunAlone.`How a session fails` {
    private func failure(
        _ scene: SessionScene, _ task: TaskContext, when ready: (ReplicationSession) async throws -> Void = { _ in }
    ) async throws -> ReplicationError {
        let session = await ReplicationSession(task, history: SessionHistory())
        async let failure = SessionScene.failure(of: session)
        try await ready(session)
        let error = try await failure
        await task.lease.release()
        try await scene.expectLeft()
        return error
    }

    @Test func `a target that requires a password fails the first step`() async throws {
        let scene = try SessionScene()
        _ = try scene.redis.client().command("CONFIG", "SET", "requirepass", "secret")
        let task = scene.task()
        let session = await ReplicationSession(task, history: SessionHistory())
        let error = try await SessionScene.failure(of: session)
        #expect(error.code == .target(.permission))
        #expect(error.phase == .opening(.claimTask))
        #expect(error.cause is TargetError)
        #expect(error.description.hasSuffix("(opening the session, step 1 of 7, claiming the task)"))
        #expect(scene.master.connections.isEmpty, "the source is not asked before the target is known")
        await task.lease.release()
    }

    @Test func `a source that refuses a flow fails the handshake`() async throws {
        let scene = try SessionScene()
        scene.master.refuse([Refusal("DFLY FLOW", reply: "ERR not now")])
        let error = try await failure(scene, scene.task())
        #expect(error.phase == .opening(.handshake))
        #expect(error.cause is SourceError)
        #expect(error.message.contains("not now"))
    }

    @Test func `the loss of the source in the full sync is reported with the flow`() async throws {
        let scene = try SessionScene(keys: 20_000)
        scene.master.setFaults(.cutting(.fin, afterBytes: 50_000), on: .flow(1))
        let error = try await failure(scene, scene.task())
        #expect(error.code == .source(.unreachable))
        #expect(error.phase == .fullSync || error.phase == .opening(.beginSync))
        #expect(error.flow != nil)
    }

    @Test(arguments: [true, false])
    func `the loss of the source in the stable phase is reported with the cause`(_ isReset: Bool) async throws {
        let scene = try SessionScene()
        let error = try await failure(scene, scene.task()) { _ in
            try await scene.wait(until: .stable)
            scene.master.cut(.flow(0), byReset: isReset)
        }
        #expect(error.code == .source(.unreachable))
        #expect(error.phase == .stable)
        #expect(error.isTransient)
        #expect((error.cause != nil) == isReset || error.flow == FlowID(1))
        #expect(error.description.hasSuffix("(in the stable phase)"))
    }

    @Test func `the loss of the target's checkpoint in the stable phase ends the session`() async throws {
        let scene = try SessionScene()
        let error = try await failure(scene, scene.task()) { session in
            try await scene.wait(until: .stable)
            _ = try scene.redis.client().command("FLUSHALL")
            // The fifth beat asks the target.
            for _ in 0..<5 { _ = await session.beat() }
        }
        #expect(error.code == .targetChanged)
        #expect(error.phase == .stable)
    }
}

extension RunAlone {
    /// The task's life over its sessions, in this process.
    @Suite struct `A replicator in this process` {}
}

extension RunAlone.`A replicator in this process` {
    @Test func `follows until it is asked to leave`() async throws {
        let scene = try SessionScene()
        let replicator = scene.replicator()
        async let summary = replicator.run()
        try await scene.wait(until: .stable)
        await replicator.leave()
        let result = try await summary
        #expect(result.keys == 100 && result.fullSyncs == 1 && !result.isUnfinished)
        try await scene.expectLeft()
        // On a busy machine the record is left to its TTL.
        try await eventually("nobody owns the task") {
            try scene.redis.client().command("EXISTS", "df2redis:checkpoint:scene:owner").int == 0
        }
    }

    @Test func `waits for a source that is lost, says in which phase, and resumes`() async throws {
        let scene = try SessionScene()
        let replicator = scene.replicator()
        async let summary = replicator.run()
        try await scene.wait(until: .stable)
        scene.master.endSessions()
        try await scene.wait(forLine: "another attempt in")
        #expect(scene.log.field("failedPhase", ofLine: "another attempt in") == "stable")
        #expect(scene.log.field("event", ofLine: "another attempt in") == "sourceLost")
        try await scene.wait(forLine: "resuming at the checkpoint")
        try await eventually("the master has it again") { scene.master.sessionStates == ["online"] }
        await replicator.leave()
        #expect(try await summary.fullSyncs == 1)
        try await scene.expectLeft()
    }

    @Test func `leaves while it waits for the source`() async throws {
        let scene = try SessionScene()
        let replicator = scene.replicator { $0.retry = RetryPolicy(initial: .seconds(600), maximum: .seconds(600)) }
        async let summary = replicator.run()
        try await scene.wait(until: .stable)
        scene.master.endSessions()
        try await scene.wait(forLine: "another attempt in")
        await replicator.leave()
        #expect(try await summary.fullSyncs == 1)
        try await scene.expectLeft()
    }

    @Test func `starts no session if it is asked to leave before the first one`() async throws {
        let scene = try SessionScene()
        let replicator = scene.replicator { $0.mode = .migrate }
        await replicator.leave()
        #expect(try await replicator.run().isUnfinished)
        #expect(scene.master.connections.isEmpty)
    }

    @Test func `ends with an error if the source is unreachable at the start`() async throws {
        let scene = try SessionScene()
        scene.master.stop()
        let replicator = scene.replicator()
        let error = await #expect(throws: ReplicationError.self) { _ = try await replicator.run() }
        #expect(error?.code == .source(.unreachable))
        #expect(error?.phase == .opening(.handshake))
        #expect(try scene.targetRoles().isEmpty)
    }
}
