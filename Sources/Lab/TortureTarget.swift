import Base
import Glibc
import Wire

/// The target of a torture, and the faults that can be injected into it.
protocol TortureTarget: AnyObject {
    /// The port that the daemon connects to first.
    var port: UInt16 { get }
    /// Lines of the daemon's section `target`, besides the address.
    var configuration: [String] { get }
    /// A database besides database 0, which is sometimes emptied; `nil` if there is only one.
    var otherDatabase: Int? { get }

    /// Injects a fault and waits as long as it is to last. When the call returns, the cause is gone.
    ///
    /// - Returns: `false` for a fault that such a target does not have.
    func inject(_ fault: Torture.Fault, _ dice: inout TortureDice) throws -> Bool
    /// Sends SIGSTOP to all servers of the target; `resume()` sends SIGCONT.
    func pause()
    func resume()
    func stop()
    func compare(with source: RESPClient) throws -> ServerComparison
    /// The state of the target, for the error message if the sides do not become equal.
    var report: String { get }
}

/// The random decisions of a torture, which are the same for the same seed.
struct TortureDice {
    private var random: SplitMix64

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    /// Waits for a random number of milliseconds in `range`.
    mutating func someTime(_ range: ClosedRange<Int>) { blockThread(for: .milliseconds(number(range))) }
    mutating func one<T>(of elements: [T]) -> T? { elements.randomElement(using: &random) }
    mutating func shuffled<T>(_ elements: [T]) -> [T] { elements.shuffled(using: &random) }
    mutating func seed() -> UInt64 { random.next() }
}

extension RESPClient {
    /// Ends some of the daemon's connections to the server.
    func cutDaemon(_ dice: inout TortureDice) throws {
        for line in (try command("CLIENT", "LIST").text ?? "").split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.contains(where: { $0.hasPrefix("name=df2redis:") }), dice.number(0...2) > 0,
                let id = words.first(where: { $0.hasPrefix("id=") })
            else { continue }
            // The connection may be gone by now.
            _ = try? command("CLIENT", "KILL", "ID", String(id.dropFirst(3)))
        }
    }

    /// Leaves the server without memory for a while.
    func fill(_ dice: inout TortureDice) throws {
        try command("CONFIG", "SET", "maxmemory", "1")
        dice.someTime(100...1000)
        try command("CONFIG", "SET", "maxmemory", "0")
    }
}

/// A single server with an append-only file.
final class StandaloneTortureTarget: TortureTarget {
    private let server: RedisServer

    init() throws {
        server = try RedisServer([
            "--appendonly", "yes", "--appendfsync", "always", "--busy-reply-threshold", "100",
            "--maxmemory-policy", "noeviction", "--enable-debug-command", "local",
        ])
    }

    var port: UInt16 { server.port }
    var configuration: [String] { [] }
    var otherDatabase: Int? { 5 }
    var report: String { "" }

    func pause() { server.pause() }
    func resume() { server.resume() }
    func stop() {
        server.resume()
        server.stop()
    }

    func compare(with source: RESPClient) throws -> ServerComparison {
        try ServerComparison(source: source, target: server.client())
    }

    func inject(_ fault: Torture.Fault, _ dice: inout TortureDice) throws -> Bool {
        switch fault {
        case .targetKilled:
            server.kill()
            dice.someTime(0...700)
            try server.restart()
        case .targetStopped:
            server.pause()
            dice.someTime(100...2500)
            server.resume()
        case .targetCut: try server.client().cutDaemon(&dice)
        case .targetReadOnly:
            let client = try server.client()
            try client.command("REPLICAOF", "127.0.0.1", "1")
            dice.someTime(100...1000)
            try client.command("REPLICAOF", "NO", "ONE")
        case .targetFull: try server.client().fill(&dice)
        case .targetBusy: try keepBusy(for: dice.number(300...1200))
        case .targetLoading: try reload(for: dice.number(300...1500))
        default: return false
        }
        return true
    }

    /// Makes the server read its own file again. Meanwhile it answers LOADING and keeps its connections.
    private func reload(for milliseconds: Int) throws {
        let (loading, control) = (try server.client(), try server.client())
        func slowDown(_ microseconds: Int) throws {
            try control.command("CONFIG", "SET", "key-load-delay", "\(microseconds)")
        }
        try control.command("CONFIG", "SET", "loading-process-events-interval-bytes", "1024")
        try slowDown(5000)
        let thread = WaitingThread(loading, ["DEBUG", "LOADAOF"])
        thread.start()
        blockThread(for: .milliseconds(milliseconds))
        try slowDown(0)
        try wait(until: "the target has loaded its data", timeout: .seconds(60)) { thread.hasEnded }
    }

    private func keepBusy(for milliseconds: Int) throws {
        let (busy, killer) = (try server.client(), try server.client())
        let thread = WaitingThread(busy, ["EVAL", "while true do end", "0"])
        thread.start()
        blockThread(for: .milliseconds(milliseconds))
        while !thread.hasEnded {
            _ = try killer.send([Array("SCRIPT".utf8), Array("KILL".utf8)])
            blockThread(for: .milliseconds(20))
        }
    }
}

/// Three masters with a replica each; all nodes have append-only files.
final class ClusterTortureTarget: TortureTarget {
    private let cluster: RedisCluster
    private static let movedSlots = 10...60

    init() throws {
        cluster = try RedisCluster(
            ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"], usesProxies: true)
    }

    var port: UInt16 { cluster.nodes[0].port }
    var configuration: [String] {
        ["type: cluster", "cluster: {seeds: [\(cluster.nodes.map { "\"\($0.address)\"" }.joined(separator: ", "))]}"]
    }
    var otherDatabase: Int? { nil }
    var report: String {
        guard let view = try? cluster.view() else { return "no node of the cluster answers" }
        return view.nodes.map { node in
            "\(node.id.prefix(8)) \(node.port) \(node.isMaster ? "master" : "replica")"
                + "\(node.isFailing ? " failing" : "") \(node.slots)"
        }.joined(separator: "\n")
    }

    func pause() { for node in cluster.runningNodes { node.server.pause() } }
    func resume() { for node in cluster.runningNodes { node.server.resume() } }
    func stop() {
        resume()
        cluster.stop()
    }

    func compare(with source: RESPClient) throws -> ServerComparison {
        try cluster.settle()
        return try ServerComparison(source: source, target: cluster)
    }

    private func someMaster(_ dice: inout TortureDice) throws -> RedisCluster.Node {
        guard let master = dice.one(of: try cluster.masters()) else { throw LabError("the cluster has no master") }
        return master
    }

    func inject(_ fault: Torture.Fault, _ dice: inout TortureDice) throws -> Bool {
        try cluster.settle()
        let master = try someMaster(&dice)
        switch fault {
        case .nodeKilled:
            // The node is back before a replica takes its place, and has lost nothing.
            master.server.kill()
            dice.someTime(0...500)
            try master.server.restart()
        case .nodeReplaced:
            master.server.kill()
            try cluster.waitForSuccessor(of: master)
            dice.someTime(0...500)
            try master.server.restart()
        case .nodeStopped:
            // If the stop is long enough, a replica takes the node's place.
            master.server.pause()
            dice.someTime(100...4000)
            master.server.resume()
        case .nodeCutOff:
            master.cutOff()
            dice.someTime(100...1500)
            master.reconnect()
        case .nodeCut: try master.client().cutDaemon(&dice)
        case .nodeFull: try master.client().fill(&dice)
        case .failedOver: try cluster.failOver(master)
        case .slotsMoved:
            guard let other = dice.one(of: try cluster.masters().filter { $0 !== master }),
                let slots = try cluster.view().nodes.first(where: { $0.id == master.id })?.slots.flatMap({ Array($0) })
            else { break }
            // A master keeps its last slot; without one, it would not count as a master.
            let moved = dice.shuffled(slots).dropLast().prefix(dice.number(Self.movedSlots))
            try cluster.moveSlots(moved, from: master, to: other)
        case .targetStopped:
            pause()
            dice.someTime(100...800)
            resume()
        default: return false
        }
        return true
    }
}
