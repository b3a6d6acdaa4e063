import Dragonfly
import Lab
import Link
import Logging
import Redis
import Testing

@testable import Replication

/// A flag that a task of a test waits for.
private actor Gate {
    private var isOpen = false
    private var waiters: [CheckedContinuation<Void, Never>] = []

    func open() {
        isOpen = true
        for waiter in waiters { waiter.resume() }
        waiters = []
    }

    func wait() async {
        if !isOpen { await withCheckedContinuation { waiters.append($0) } }
    }
}

@Suite struct `A survey of the target's databases` {
    @SessionActor @Test func `is used once, and only within a second`() async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let settings = TargetSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "df2redis:test")
        let control = TargetControl(connector: TargetConnector(settings: settings))
        let survey = try #require(
            try await DatabaseSurvey(of: [], task: "test", excluding: ReservedKeys(checkpoint: "k"), on: control))
        await control.close()
        let target = KnownTarget()
        target.learn(survey)
        #expect(target.takeSurvey(at: survey.made + .milliseconds(900))?.keyCount(0) == 0)
        #expect(target.takeSurvey(at: survey.made) == nil, "it is true once")
        target.learn(survey)
        #expect(target.takeSurvey(at: survey.made + .milliseconds(1100)) == nil)
    }
}

@Suite struct `Tasks beside a session's loop` {
    private func waitForCancellation() async {
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(600)) }
    }

    @SessionActor @Test func `run one of a kind at a time`() async {
        let (tasks, gate) = (BackgroundTasks(), Gate())
        let runs = Lock(0)
        for _ in 0..<3 {
            tasks.start(.ping) {
                runs.withLock { $0 += 1 }
                await gate.wait()
            }
        }
        tasks.start(.targetPoll) {}
        await gate.open()
        await tasks.end()
        #expect(runs.withLock { $0 } == 1)
        tasks.start(.ping) { runs.withLock { $0 += 1 } }
        await tasks.end()
        #expect(runs.withLock { $0 } == 2)
    }

    @SessionActor @Test func `are cancelled and awaited at the end`() async {
        let tasks = BackgroundTasks()
        let ended = Lock<[BackgroundTasks.Job]>([])
        for job in [BackgroundTasks.Job.ping, .reconciliation, .restoration] {
            tasks.start(job) {
                await waitForCancellation()
                ended.withLock { $0.append(job) }
            }
        }
        tasks.cancel(.ping)
        await tasks.end()
        #expect(Set(ended.withLock { $0 }) == [.ping, .reconciliation, .restoration])
        #expect(!tasks.isRunning(.ping))
    }
}

@Suite struct `A request to leave` {
    @SessionActor @Test func `cancels the running work, and counts as made`() async {
        let request = LeaveRequest()
        let isCancelled = try? await request.run {
            request.make()
            return Task.isCancelled
        }
        #expect(isCancelled == true)
        #expect(request.isMade && !request.isHurried)
    }

    @SessionActor @Test func `cancels work that begins after it`() async {
        let request = LeaveRequest()
        request.make()
        #expect(try! await request.run { Task.isCancelled })
    }

    @SessionActor @Test func `ends the drain when it is made again`() async {
        let request = LeaveRequest()
        request.make()
        async let drained = request.drain(for: .seconds(600))
        while !request.isHurried {
            await Task.yield()
            request.make()
        }
        // The second request may have come before the drain began, which is skipped then.
        _ = await drained
        #expect(await request.drain(for: .seconds(600)) == false)
    }
}

@Suite struct `Work with an owner` {
    @Test func `a sleep ends on request and when its caller is cancelled`() async {
        let sleep = InterruptibleSleep()
        let sleeper = Task { await sleep.sleep(for: .seconds(600)) }
        sleeper.cancel()
        await sleeper.value
        let other = Task { await sleep.sleep(for: .seconds(600)) }
        let ending = Task {
            while !Task.isCancelled {
                sleep.end()
                await Task.yield()
            }
        }
        await other.value
        ending.cancel()
        await ending.value
    }

    @Test func `shielded work completes even if its caller is cancelled, and is cancelled with its owner`() async {
        let (work, gate, isDone) = (ShieldedWork(), Gate(), Lock(false))
        let caller = Task {
            await work.run {
                await gate.wait()
                isDone.withLock { $0 = !Task.isCancelled }
            }
        }
        caller.cancel()
        await gate.open()
        await caller.value
        #expect(isDone.withLock { $0 })
        work.end()
        await work.run { while !Task.isCancelled { await Task.yield() } }
    }

    @Test func `a time limit cancels unfinished work and waits for its end`() async {
        let isCancelled = await within(.milliseconds(1)) {
            while !Task.isCancelled { await Task.yield() }
            return true
        }
        #expect(isCancelled)
        #expect(await within(.seconds(600)) { !Task.isCancelled })
    }
}

@Suite struct `An error of a session` {
    private struct Strange: Error, CustomStringConvertible { var description: String { "strange" } }

    @Test func `prints its chain of causes with flow and phase`() {
        let error = ReplicationError(
            .source(.unreachable), flow: FlowID(3), "the source is lost",
            cause: SystemError("read", errno: 104, peer: "a:1"))
        #expect(error.description == "flow 3: the source is lost: read a:1: Connection reset by peer")
        let placed = error.during(.fullSync)
        #expect(placed.description == "\(error) (in the full sync)")
        #expect(placed.during(.leaving).phase == .fullSync, "where it came up first")
        #expect(placed.metadata["failedPhase"] == "full sync")
        #expect(placed.metadata["flow"] == "3")
        #expect(placed.metadata["cause"] == "read a:1: Connection reset by peer")
    }

    @Test func `does not repeat a cause that has the same message`() {
        let error = ReplicationError(TargetError(.permission, "the target refuses the password"))
        #expect(error.message == "the target refuses the password")
        #expect(error.cause is TargetError)
        #expect(error.metadata["cause"] == nil)
        #expect(error.code == .target(.permission))
    }

    @Test func `is a defect if it is unexpected, but not if it is a cancellation`() {
        #expect(ReplicationError(Strange()).code == .defect)
        #expect(ReplicationError(Strange()).message == "unexpected error: strange")
        #expect(!ReplicationError(Strange()).isTransient)
        #expect(ReplicationError(CancellationError()).code == .cancelled)
    }

    @Test func `has a short name of its phase for a log field`() {
        #expect(SessionPhase.opening(.handshake).name == "opening 4")
        #expect(
            "\(SessionPhase.opening(.handshake))" == "opening the session, step 4 of 7, the handshake with the source")
    }
}

extension RunAlone {
    @Suite struct `A poll of the target while a session catches up` {}
}

extension RunAlone.`A poll of the target while a session catches up` {
    @SessionActor @Test func `notices that the checkpoint was removed`() async throws {
        let scene = try SessionScene()
        let scope = SessionScope(scene.task(), history: SessionHistory())
        let databases = TaskDatabases(scope)
        let reconciliation = ReconciliationRun(scope, databases: databases)
        let checkpoint = SessionCheckpoint(
            scope, databases: databases, reconciliation: reconciliation, ttls: SessionTTLs(scope))
        let reactions = TargetReactions(
            scope, databases: databases, checkpoint: checkpoint, reconciliation: reconciliation)
        databases.learn(.init(fields: ["databases": "0"]))
        scope.sync.enterCatchingUp()
        reactions.poll()
        for await event in scope.events.stream {
            guard case .target(let findings) = event else { continue }
            #expect(throws: ReplicationError.self) { try reactions.handle(findings) }
            break
        }
        await scope.backgroundTasks.end()
        await scope.task.targetWatch.close()
    }
}

@Suite struct `Requests to a target that is away` {
    private struct Strange: Error {}

    @SessionActor private func retry(_ leaveRequest: LeaveRequest = LeaveRequest()) -> TargetRetry {
        let logger = RecordedLog().logger
        return TargetRetry(
            policy: RetryPolicy(initial: .milliseconds(1), maximum: .milliseconds(2)), logger: logger,
            health: SessionHealth(), leaveRequest: leaveRequest, flows: SessionFlows(logger: logger))
    }

    @SessionActor @Test func `are repeated until it answers`() async throws {
        var attempts = 0
        let answer = try await retry()() {
            attempts += 1
            if attempts < 3 { throw TargetError(.unreachable, "away") }
            return attempts
        }
        #expect(answer == 3)
    }

    @SessionActor @Test func `are made once if another attempt cannot help`() async {
        var attempts = 0
        await #expect(throws: TargetError.self) {
            try await retry()() {
                attempts += 1
                throw TargetError(.permission, "no")
            }
        }
        await #expect(throws: Strange.self) {
            try await retry()() {
                attempts += 1
                throw Strange()
            }
        }
        #expect(attempts == 2)
    }

    @SessionActor @Test func `end with a request to leave`() async {
        let leaveRequest = LeaveRequest()
        await #expect(throws: TargetError.self) {
            try await retry(leaveRequest)() {
                leaveRequest.make()
                throw TargetError(.unreachable, "away")
            }
        }
    }
}

@Suite struct `A coordinator that hangs` {
    @SessionActor @Test func `is reported if one step takes longer than allowed`() {
        let health = SessionHealth()
        health.begin("this", atMost: .seconds(3))
        for _ in 0..<3 { #expect(health.beat(limit: 1) == []) }
        #expect(health.beat(limit: 1) == ["the coordinator, at this,"])
        health.begin("that", atMost: .zero)
        #expect(health.beat(limit: 1) == [])
    }
}
