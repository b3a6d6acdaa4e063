import Synchronization

/// A master that speaks the Dragonfly replication protocol on 127.0.0.1, for tests, the demo and benches.
///
/// It serves a `DataSet` to any number of replicas, misbehaves on request, and reports what it saw of its peers. It
/// records every action of a peer that would damage or crash a real master in `violations`, which tests assert to be empty.
///
/// One thread serves all sockets. Every member may be called from any thread. Observations stay readable after `stop()`.
package final class SimulatedMaster: Sendable {
    private let loop: EventLoop
    private let lifetime = Lifetime()

    package init(_ dataSet: DataSet = .empty, options: MasterOptions = MasterOptions()) throws {
        loop = try EventLoop(core: MasterCore(options: options, dataSet: dataSet))
    }

    deinit { stop() }

    /// Encodes `dataSet` and serves it.
    package convenience init(_ dataSet: SyntheticDataSet, options: MasterOptions = MasterOptions()) throws {
        try self.init(.synthetic(EncodedDataSet(dataSet, options: options)), options: options)
    }

    /// Serves a recording with the shards, the version and the replication id it was made with.
    package convenience init(_ recording: Recording, options: MasterOptions = MasterOptions()) throws {
        var options = options
        options.shardCount = recording.flows.count
        if let version = recording.version { options.version = version }
        if let id = recording.replicationID { options.replicationID = id }
        try self.init(.recording(recording), options: options)
    }

    /// Starts to serve and returns the port.
    @discardableResult
    package func start() throws -> UInt16 {
        if lifetime.begin() { try loop.start() }
        return loop.port
    }

    /// Ends the thread and closes every connection; the second call does nothing.
    package func stop() {
        if lifetime.end() { loop.stop() }
    }

    package var port: UInt16 { loop.port }

    func withCore(_ body: (MasterCore) -> Void) { loop.withCore(body) }

    // MARK: What was seen

    /// The peers' actions that would harm a real master, in order.
    package var violations: [String] { loop.look { $0.violations } }

    /// Every connection so far, in the order in which they were accepted.
    package var connections: [ConnectionObservation] {
        loop.look { core in
            for connection in core.connections { connection.noteBlockedTime(.now) }
            return (core.finished + core.connections.map(\.observation)).sorted { $0.id < $1.id }
        }
    }

    /// The latest connection of a flow.
    package func flow(_ shard: Int) -> ConnectionObservation? {
        connections.last { connection in
            if case .flow(_, shard) = connection.role { return true }
            return false
        }
    }

    /// The latest main connection.
    package var main: ConnectionObservation? {
        connections.last { connection in
            if case .main = connection.role { return true }
            return false
        }
    }

    package var replicationID: String { loop.look { $0.replicationID } }

    /// The LSN that the next record of each shard gets.
    package var nextLSNs: [UInt64] { loop.look { $0.journals.map(\.next) } }

    /// The states of the live sessions, as INFO shows them: `preparation`, `full_sync`, `online`.
    package var sessionStates: [String] { loop.look { $0.sessions.map(\.state.rawValue) } }

    /// Sessions made by `capa dragonfly` so far.
    package var sessionsStarted: Int { loop.look { $0.sessionsStarted } }

    /// Sessions that went through `DFLY SYNC` so far.
    package var fullSyncs: Int { loop.look { $0.fullSyncs } }

    /// Sessions ended because a flow took nothing for `replicationTimeout`.
    package var timedOutSessions: Int { loop.look { $0.timedOutSessions } }

    /// CLIENT PAUSE is in force.
    package var isPaused: Bool { loop.look { $0.pause.isInForce(at: .now) } }

    /// Calls of CLIENT PAUSE and of CLIENT UNPAUSE so far.
    package var pauseCalls: (begun: Int, ended: Int) { loop.look { ($0.pause.begun, $0.pause.ended) } }

    /// The longest time for which the master's own clients had to wait for a flow.
    package var longestBlockedWriters: Duration { loop.look { $0.longestBlockedWriters } }

    /// Waits until `condition` holds, checking it every millisecond; `false` if it does not hold within `limit`.
    package func becomes(
        within limit: Duration = .seconds(10), _ condition: (SimulatedMaster) -> Bool
    ) async throws -> Bool {
        let deadline = ContinuousClock.now + limit
        while !condition(self) {
            if ContinuousClock.now > deadline { return false }
            try await Task.sleep(for: .milliseconds(1))
        }
        return true
    }

    // MARK: What it is asked to do

    /// Sets the faults of a place for its current and its later connections.
    package func setFaults(_ faults: Faults, on place: ConnectionPlace) {
        loop.withCore { core in
            core.faults[place] = faults
            for connection in core.connections where connection.session != nil && connection.place == place {
                connection.use(core.takeFaults(place))
            }
        }
    }

    /// Refuses commands from now on.
    package func refuse(_ refusals: [Refusal]) { loop.withCore { $0.refusals += refusals } }

    /// Resumes the stalled connections of a place.
    package func resume(_ place: ConnectionPlace) {
        loop.withCore { core in
            for connection in core.connections where connection.place == place { connection.isStalled = false }
        }
    }

    /// Journals records in a shard. Flows get them as JOURNAL_BLOBs during the full sync, and as plain records once
    /// they are stable.
    package func send(journal commands: [JournalEntry], flow shard: Int) {
        loop.withCore { core in
            core.journals[shard].isActive = true
            core.hasForeignRecords = true
            for command in commands { core.journal(command, shard: shard) }
        }
    }

    /// Sends bytes as they are on every live flow of a shard.
    package func send(raw bytes: [UInt8], flow shard: Int) { loop.withCore { $0.send(raw: bytes, shard: shard) } }

    /// Ends every session with FIN on all flows, as a master does when its role changes.
    package func endSessions() { loop.withCore { core in core.sessions.forEach(core.cancel) } }

    /// Closes the connections that live sessions have in a place, which ends these sessions; later connections are not
    /// affected.
    package func cut(_ place: ConnectionPlace, byReset: Bool) {
        loop.withCore { core in
            for connection in core.connections {
                guard let session = connection.session, connection.place == place else { continue }
                // Closes at once, so that requests that the client is still sending are not executed.
                connection.close(byReset: byReset)
                core.cancel(session)
            }
        }
    }

    /// Drops the partial-sync buffers: only a replica that missed no record can continue.
    package func forgetBacklog() {
        loop.withCore { core in
            for shard in core.journals.indices { core.journals[shard].forgetRecords() }
        }
    }

    /// Runs `body`; meanwhile, journal records get LSNs and are kept, but are not sent.
    package func withholdingRecords(_ body: () -> Void) {
        loop.withCore { $0.withholdsRecords = true }
        body()
        loop.withCore { $0.withholdsRecords = false }
    }

    /// Loads a data set as DFLY LOAD and DEBUG RELOAD do: journals FLUSHALL, although no client called it, and journals
    /// none of the keys that `body` adds.
    ///
    /// - Parameter flushes: `false` keeps the existing keys, as `DFLY LOAD ... APPEND` does.
    package func load(flushes: Bool = true, _ body: () -> Void) {
        if flushes { loop.withCore { $0.flush("FLUSHALL") } }
        loop.withCore { ($0.isJournalSilent, $0.isLoading) = (true, true) }
        body()
        loop.withCore { ($0.isJournalSilent, $0.isLoading) = (false, false) }
    }

    /// Simulates DEBUG RELOAD: journals FLUSHALL and has the same keys afterwards, as if loaded from a file.
    package func reload() {
        loop.withCore { core in
            let kept = core.store?.shards
            core.flush("FLUSHALL")
            if let kept { core.store?.shards = kept }
        }
    }

    /// Simulates REPLICAOF another server: this server is emptied, and `body` adds the keys of its new master.
    package func becomeReplica(_ body: () -> Void = {}) {
        loop.withCore { core in
            core.calls["replicaof", default: 0] += 1
            core.isReplica = true
            // The link to the new master executes FLUSHALL as a command, so commandstats counts it.
            core.calls["flushall", default: 0] += 1
        }
        load(body)
    }

    /// Simulates CONFIG RESETSTAT.
    package func forgetCalls() { loop.withCore { $0.calls = [:] } }

    /// Simulates REPLICAOF NO ONE.
    package func promote() {
        loop.withCore { core in
            core.calls["replicaof", default: 0] += 1
            core.isReplica = false
        }
    }

    /// Simulates a new process on the same port: closed connections, a new replication id, LSNs from 1.
    package func restart() { loop.withCore { $0.restart() } }

    /// Executes a command on the live key space as a client would.
    @discardableResult
    package func execute(_ words: [[UInt8]], database: Int = 0) -> Reply {
        loop.withCore { core in
            guard let first = words.first else { return ErrorText.syntax }
            let name = String(decoding: first, as: UTF8.self).uppercased()
            return core.executeOnStore(Request(name: name, arguments: Array(words.dropFirst())), database: database)
        }
    }

    /// Executes words separated by single spaces: `execute("SET k v")`.
    @discardableResult
    package func execute(_ line: String, database: Int = 0) -> Reply {
        execute(line.split(separator: " ", omittingEmptySubsequences: false).map { Array($0.utf8) }, database: database)
    }
}

/// Makes sure that the event loop starts and stops only once.
private final class Lifetime: Sendable {
    private let state = Atomic(0)

    func begin() -> Bool { state.compareExchange(expected: 0, desired: 1, ordering: .sequentiallyConsistent).exchanged }

    /// `true` for the first call.
    func end() -> Bool { state.exchange(2, ordering: .sequentiallyConsistent) != 2 }
}
