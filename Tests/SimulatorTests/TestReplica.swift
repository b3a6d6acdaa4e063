import Glibc

@testable import DragonflySimulator

struct UnexpectedReply: Error {
    var command: String
    var reply: Reply?

    init(command: String, _ reply: Reply? = nil) { (self.command, self.reply) = (command, reply) }
}

/// A minimal replica: the handshake as a transcript, and one blocking socket per flow.
final class TestReplica {
    let master: SimulatedMaster
    let main: TestConnection
    private(set) var replicationID = ""
    private(set) var sync = ""
    private(set) var flowCount = 0
    private(set) var flows: [TestConnection] = []
    /// `FULL` or `PARTIAL`, and the token, of each flow.
    private(set) var answers: [(kind: String, token: String)] = []

    private let receiveBuffer: Int32?

    init(_ master: SimulatedMaster, receiveBuffer: Int32? = nil) throws {
        self.receiveBuffer = receiveBuffer
        self.master = master
        main = try TestConnection(to: master, receiveBuffer: receiveBuffer)
    }

    /// A replica whose flows are open.
    static func connected(
        to master: SimulatedMaster, lsns: [UInt64]? = nil, receiveBuffer: Int32? = nil
    ) throws -> TestReplica {
        let replica = try TestReplica(master, receiveBuffer: receiveBuffer)
        try replica.greet()
        try replica.openFlows(lsns: lsns)
        return replica
    }

    /// A replica in stable sync, and the bytes of each flow's full sync.
    static func stable(on master: SimulatedMaster) throws -> (replica: TestReplica, full: [[UInt8]]) {
        let replica = try connected(to: master)
        return (replica, try replica.fullSync())
    }

    func greet() throws {
        guard case .array(let elements) = try main.command("REPLCONF capa dragonfly"), elements.count >= 3,
            case .simple(let id) = elements[0], case .simple(let sync) = elements[1],
            case .integer(let count) = elements[2]
        else { throw UnexpectedReply(command: "capa dragonfly") }
        replicationID = id
        self.sync = sync
        flowCount = Int(count)
        try main.command("REPLCONF CLIENT-VERSION 4")
    }

    func openFlows(lsns: [UInt64]? = nil) throws {
        for shard in 0..<flowCount {
            let flow = try TestConnection(to: master, receiveBuffer: receiveBuffer)
            let lsn = lsns.map { " \($0[shard])" } ?? ""
            let reply = try flow.command("DFLY FLOW \(replicationID) \(sync) \(shard)\(lsn)")
            guard case .array(let words) = reply, case .simple(let kind) = words[0], case .simple(let token) = words[1]
            else { throw UnexpectedReply(command: "DFLY FLOW", reply) }
            flows.append(flow)
            answers.append((kind, token))
        }
    }

    /// Sends SYNC, reads up to FULLSYNC_END, sends STARTSTABLE, and reads up to the token. For plain data sets only,
    /// because it searches for FULLSYNC_END.
    func fullSync() throws -> [[UInt8]] {
        try main.command("DFLY SYNC \(sync)")
        let heads = try flows.map { try $0.read(through: SnapshotFrame.end) }
        main.send("DFLY STARTSTABLE \(sync)")
        let tails = try zip(flows, answers).map { flow, answer in try flow.read(through: Array(answer.token.utf8)) }
        _ = try main.reply()
        return zip(heads, tails).map { $0 + $1 }
    }

    /// As `fullSync`, for data in which FULLSYNC_END cannot be searched for: sends STARTSTABLE once the master has written
    /// it.
    func fullSyncWithoutLooking() throws -> [[UInt8]] {
        try main.command("DFLY SYNC \(sync)")
        try readAll { master.haveFlowsEnded }
        main.send("DFLY STARTSTABLE \(sync)")
        let tokens = answers.map { Array($0.token.utf8) }
        try readAll { zip(flows, tokens).allSatisfy { $0.hasRead(ending: $1) } }
        let reply = try main.reply()
        guard reply == .ok else { throw UnexpectedReply(command: "DFLY STARTSTABLE", reply) }
        return flows.map { $0.takeRead() }
    }

    /// Keeps reading on all flows until `condition` holds.
    func readAll(until condition: () -> Bool) throws {
        let isReached = try eventually {
            for flow in flows { try flow.readAvailable() }
            return condition()
        }
        if !isReached { throw TestConnection.Gone(code: ETIMEDOUT) }
    }

    /// Sends FIN on every flow, reads up to the master's FIN, and then closes everything.
    @discardableResult
    func leave() throws -> [[UInt8]] {
        for flow in flows { flow.finish() }
        let rest = try flows.map { try $0.readToEnd() }
        for flow in flows { flow.close() }
        main.close()
        return rest
    }
}

extension SimulatedMaster {
    /// Whether every flow of the last session has written its FULLSYNC_END.
    var haveFlowsEnded: Bool {
        var haveEnded = false
        withCore { core in haveEnded = core.sessions.last?.flows.allSatisfy { $0?.hasWrittenEnd ?? false } ?? false }
        return haveEnded
    }
}

/// A master that is running, its port open until the end of the test.
func startedMaster(_ dataSet: DataSet = .empty, _ options: MasterOptions = MasterOptions()) throws -> SimulatedMaster {
    let master = try SimulatedMaster(dataSet, options: options)
    try master.start()
    return master
}

func options(_ change: (inout MasterOptions) -> Void) -> MasterOptions {
    var options = MasterOptions()
    options.compression = .none
    change(&options)
    return options
}
