import DragonflySimulator
import Lab
import Wire

/// The target of a task.
protocol TaskTarget: AnyObject {
    /// The port in the task's configuration.
    var entrance: UInt16 { get }
    /// The configuration that a task needs for this kind of target.
    static var sections: [String: [String]] { get }

    /// The differences from `source`.
    func differences(from source: RESPClient) throws -> [Difference]
}

extension RedisServer: TaskTarget {
    var entrance: UInt16 { port }
    static var sections: [String: [String]] { [:] }

    func differences(from source: RESPClient) throws -> [Difference] {
        try ServerComparison(source: source, target: client()).differences
    }
}

extension RedisCluster: TaskTarget {
    var entrance: UInt16 { nodes[0].port }
    static var sections: [String: [String]] { ["target": ["type: cluster"]] }

    func differences(from source: RESPClient) throws -> [Difference] {
        try ServerComparison(source: source, target: self).differences
    }
}

/// A simulated master, a real target, and the processes of one task between them. All of them end with the scene.
///
/// A suite adds what it needs in an extension in its own file, or in a subclass if it needs stored properties.
class TaskScene<Target: TaskTarget> {
    private(set) var master: SimulatedMaster
    let target: Target
    /// The proxy that the task connects to instead of the target, if any.
    let proxy: TCPProxy?
    /// The folder with the task's configuration, state and log.
    let folder: TemporaryFolder
    /// The configuration of the next process.
    var configuration: Daemon.Configuration
    /// The processes so far.
    private(set) var daemons: [Daemon] = []
    fileprivate var targetClient: RESPClient?

    /// The key of the target's hash that holds the task's position.
    static var checkpoint: String { "df2redis:checkpoint:\(Daemon.taskName)" }

    /// Makes the task retry a lost connection soon.
    static var retryingSoon: [String: [String]] {
        ["reconnect": ["initialMilliseconds: 20", "maxSeconds: 0.2"]]
    }

    /// Starts no process yet. A task leaves without a drain unless `sections` say otherwise.
    init(
        from master: SimulatedMaster, into target: Target, through proxy: TCPProxy? = nil,
        _ sections: [String: [String]] = [:]
    ) throws {
        (self.master, self.target, self.proxy) = (master, target, proxy)
        folder = try TemporaryFolder("task")
        let usual = Daemon.Configuration(
            source: master.port, target: proxy?.port ?? target.entrance, sections: ["shutdown": ["drainSeconds: 0"]])
        configuration = usual.with(Target.sections).with(sections)
    }

    deinit {
        for daemon in daemons { daemon.process.kill() }
        proxy?.stop()
        master.stop()
    }

    /// The latest process.
    var daemon: Daemon {
        guard let latest = daemons.last else { preconditionFailure("no process of the task was started") }
        return latest
    }

    /// Starts a process of the task, in addition to those that run.
    ///
    /// - Parameters:
    ///   - sections: settings for this process only, which override those of the scene.
    ///   - folder: another folder than the task's, as if the process ran on another host.
    @discardableResult
    func start(
        _ command: Daemon.Command = .replicate, sections: [String: [String]] = [:], in folder: TemporaryFolder? = nil,
        environment: [String: String] = [:]
    ) throws -> Daemon {
        let daemon = try Daemon(
            command, configuration.with(sections), folder: folder ?? self.folder, environment: environment)
        daemons.append(daemon)
        return daemon
    }

    /// Starts a process of the task, and waits until it follows the source.
    @discardableResult
    func follow() throws -> Daemon {
        let daemon = try start()
        try daemon.wait(forLine: "stable: following")
        return daemon
    }

    /// Runs another command of the program until it ends, such as `status lab`.
    func run(_ arguments: [String], through wrapper: [String] = []) throws -> ChildProcess {
        let command = try daemon.start(arguments, through: wrapper, runtimeDirectory: folder.file("run"))
        try command.waitForEnd(timeout: .seconds(60))
        return command
    }

    func run(_ arguments: String...) throws -> ChildProcess { try run(arguments) }

    /// Replaces the master by another one on the same port.
    func replaceMaster(_ another: (UInt16) throws -> SimulatedMaster) throws {
        let port = master.port
        master.stop()
        sourceClient = nil
        master = try another(port)
    }

    /// A client's connection to the source; it stays the same until the master is replaced.
    var source: RESPClient {
        get throws {
            let client = try sourceClient ?? RESPClient(port: master.port)
            sourceClient = client
            return client
        }
    }
    private var sourceClient: RESPClient?

    /// - Throws: `LabError` with the differences and the end of the log if the target does not become equal to the source.
    func waitUntilEqual(timeout: Duration = .seconds(90)) throws {
        let source = try RESPClient(port: master.port)
        do {
            try IntegrationTests.waitUntilEqual(timeout: timeout) { try target.differences(from: source) }
        } catch {
            throw LabError("\(error)\n\(daemons.last?.process.outputTail(lines: 40) ?? "")")
        }
    }
}

/// A task whose target is a single server.
typealias RedisScene = TaskScene<RedisServer>

extension TaskScene where Target == RedisServer {
    /// - Parameters:
    ///   - shards: the number of the master's shards.
    ///   - options: the options of the redis-server.
    convenience init(shards: Int = 2, target options: [String] = [], _ sections: [String: [String]] = [:]) throws {
        try self.init(from: startedMaster(shards: shards), into: RedisServer(options), sections)
    }

    var redis: RedisServer { target }

    /// A connection to the target, which stays the same.
    var client: RESPClient {
        get throws {
            let client = try targetClient ?? redis.client()
            targetClient = client
            return client
        }
    }

    /// Returns a value at the target from database 0.
    func get(_ key: String) throws -> String? { try redis.client().command("GET", key).text }
}

/// A task whose target is a cluster.
typealias ClusterScene = TaskScene<RedisCluster>

extension TaskScene where Target == RedisCluster {
    /// - Parameter cluster: the target; the scene ends it.
    convenience init(into cluster: RedisCluster, shards: Int = 2, _ sections: [String: [String]] = [:]) throws {
        // Keep all that a task misses while no process runs.
        let master = try startedMaster(shards: shards) { $0.backlogRecords = 4_000_000 }
        try self.init(from: master, into: cluster, sections)
    }

    var cluster: RedisCluster { target }

    /// The keys of df2redis in the cluster, without the marks of its masters, which stay with the position.
    func ownKeys() throws -> Set<String> {
        try ServerComparison(source: source, target: cluster).ownKeysBesidesNodeMarks
    }

    /// Starts the task again if it has given up, as a service manager does: a cluster may not be ready when the task
    /// starts.
    func supervise() throws {
        guard let end = daemon.process.end else { return }
        guard end == .exited(75) || end == .exited(69) else {
            throw LabError("df2redis ended with \(end):\n\(daemon.process.outputTail(lines: 40))")
        }
        try start()
    }

    /// Ends a task that has applied everything. On a busy machine the time for the leave may end before the task has
    /// removed its marks; the next process removes them then.
    func leave() throws {
        try daemon.leave(timeout: stopLimit)
        for _ in 0..<3 where try ownKeys() != Self.remains {
            try start().wait(forLine: "event=stable")
            try waitUntilEqual()
            try daemon.leave(timeout: stopLimit)
        }
    }

    /// The keys that a stopped task leaves: its own key, and the list of all tasks, which contains it.
    static var remains: Set<String> { [checkpoint, "df2redis:tasks"] }
}
