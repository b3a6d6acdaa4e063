import Glibc
import Lab
import Link
import Logging
import Redis
import Testing
import Wire

@testable import Replication

/// The target stops while keys are being removed, and a flow has a new value for one of them.
@Suite struct `A removal whose answer does not come` {
    private static let keys = (0..<1000).map { "user:session:\(String(repeating: "0", count: 20))\($0)" }
    private static let doomed = keys[500]

    /// Writes one of the doomed keys anew when it is released. Holding stops the target for a time.
    private actor Flow: ReconciledFlow {
        private let pid: Int32
        private let client: RESPClient
        private let stop: Duration
        private(set) var isHolding = false
        private(set) var hasReleased = false
        let hasEnded = false

        init(pid: Int32, port: UInt16, stop: Duration) throws {
            (self.pid, self.stop) = (pid, stop)
            client = try RESPClient(port: port)
        }

        func notBrought(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] { keys }

        func hold() {
            isHolding = true
            kill(pid, SIGSTOP)
            Task { [pid, stop] in
                try await Task.sleep(for: stop)
                kill(pid, SIGCONT)
            }
        }

        func release() {
            guard !hasReleased else { return }
            hasReleased = true
            let commands = [["MULTI"], ["SET", doomed, "new"], ["EXEC"]]
            try? client.post(commands.map { $0.map { Array($0.utf8) } })
        }
    }

    private func scene() throws -> (RedisServer, TargetControl, Flow, Reconciler) {
        let redis = try RedisServer()
        let client = try redis.client()
        for key in Self.keys { try client.command("SET", key, "old") }
        var settings = TargetSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "df2redis:removal")
        settings.timeout = .milliseconds(200)
        let control = TargetControl(connector: TargetConnector(settings: settings), role: "reconcile")
        let flow = try Flow(pid: redis.pid, port: redis.port, stop: .milliseconds(700))
        let reconciler = Reconciler(
            control: control, flows: [flow], retry: RetryPolicy(initial: .milliseconds(20)),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            reserved: ReservedKeys(checkpoint: "df2redis:checkpoint:removal"))
        return (redis, control, flow, reconciler)
    }

    private func expectNewValue(_ redis: RedisServer, _ flow: Flow) async throws {
        #expect(await flow.hasReleased)
        let client = try redis.client()
        try wait(until: "the flow's write is there") { try client.command("GET", Self.doomed).text == "new" }
        try wait(until: "nothing of the removal is left that could still come") {
            let list = try client.command("CLIENT", "LIST").text ?? ""
            return !list.split(separator: "\n").contains {
                $0.contains("name=df2redis:removal:reconcile") && !$0.contains("cmd=client|setname")
            }
        }
        #expect(try client.command("GET", Self.doomed).text == "new")
    }

    @Test func `is waited for before a flow goes on`() async throws {
        let (redis, control, flow, reconciler) = try scene()
        defer { redis.stop() }
        await #expect(throws: TargetError.self) { try await reconciler.run(databases: [0]) }
        try await expectNewValue(redis, flow)
        await control.close()
    }

    @Test func `nor does a flow go on at once when the removal is called off`() async throws {
        let (redis, control, flow, reconciler) = try scene()
        defer { redis.stop() }
        let removal = Task { try await reconciler.run(databases: [0]) }
        try await wait(until: "the target has stopped") { await flow.isHolding }
        // The removal is sent a moment later; that it is called off before serves as well.
        try await Task.sleep(for: .milliseconds(20))
        removal.cancel()
        _ = await removal.result
        try await expectNewValue(redis, flow)
        await control.close()
    }
}
