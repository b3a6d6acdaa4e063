package import Dispatch
import Link
import Logging
import Wire

/// One replication session: the main connection and one connection per flow, driven by `SessionStateMachine`.
package actor MasterSession {
    private let settings: SourceSettings
    private let socketStore: any SocketStore
    private let onEvent: @Sendable (FlowConnectionEvent) -> Void
    private var machine: SessionStateMachine
    private var main: RequestConnection?
    private var openings: [RequestConnection] = []
    package private(set) var flows: [FlowConnection] = []
    private let clock: @Sendable () -> Int64
    package nonisolated let sourceClock = SourceClock()
    private var isClosed = false

    /// - Parameter clock: returns the Unix time in milliseconds.
    package init(
        settings: SourceSettings, resumePoint: ResumePoint?, socketStore: any SocketStore,
        clock: @escaping @Sendable () -> Int64,
        onEvent: @escaping @Sendable (FlowConnectionEvent) -> Void
    ) {
        self.settings = settings
        self.clock = clock
        self.socketStore = socketStore
        self.onEvent = onEvent
        machine = SessionStateMachine(
            user: settings.user, password: settings.currentPassword, clientID: settings.clientID,
            displayName: settings.displayName, resumePoint: resumePoint)
    }

    /// Connects, authenticates, creates the session and opens its flows.
    ///
    /// - Throws: `SourceError`, after all opened connections have been closed FIN-first.
    package func open() async throws -> (session: SessionStateMachine.Session, modes: [SessionStateMachine.FlowMode]) {
        do {
            let main = try await connect(label: "df2redis.main")
            self.main = main
            var action = machine.connected()
            while true {
                switch action {
                case .send(let command):
                    let start = clock()
                    let reply = try await main.request(command.map(\.bytes), timeout: settings.connectTimeout)
                    if command == SourceClock.question {
                        sourceClock.answered(reply, between: start, and: clock())
                    }
                    action = try machine.mainReplied(reply)
                case .openFlows(let commands):
                    try await openFlows(commands)
                    guard let session = machine.session, let modes = machine.flowModes else {
                        throw SourceError(.protocolViolation, "not every flow has answered")
                    }
                    return (session, modes)
                case .startReadersThenSend, .wait, .stable:
                    preconditionFailure("a session's flows are opened before it begins")
                }
            }
        } catch {
            await close()
            throw SourceError(error)?.ofLogin(at: settings) ?? error
        }
    }

    private func connect(label: String) async throws -> RequestConnection {
        try await RequestConnection.connect(
            to: settings.endpoint, tls: settings.tls, label: label, timeout: settings.connectTimeout)
    }

    private func openFlows(_ commands: [[String]]) async throws {
        // The flows are opened in the order of their numbers, each after the reply to the previous one, so that a master
        // with many shards is not swamped.
        for (index, command) in commands.enumerated() {
            let connection = try await connect(label: "df2redis.flow.\(index).handshake")
            openings.append(connection)
            if let arguments = authentication(user: settings.user, password: settings.currentPassword) {
                let reply = try await connection.request(
                    arguments.map(\.bytes), timeout: settings.connectTimeout)
                if case .error(let text) = reply { throw SourceError.reply(text, to: "AUTH of flow \(index)") }
            }
            let reply = try await connection.request(command.map(\.bytes), timeout: settings.connectTimeout)
            _ = try machine.flowReplied(FlowID(index), reply)
        }
    }

    /// Gives each flow its receiver, starts the readers, and begins the sync.
    ///
    /// - Returns: `true` if the flows continue at their positions (PARTIAL), `false` for a full sync.
    package func begin(receivers: [any FlowReceiver]) async throws -> Bool {
        precondition(receivers.count == openings.count, "each flow has a receiver")
        do {
            for (index, connection) in openings.enumerated() {
                let (socket, unconsumed) = try await connection.detach()
                flows.append(
                    FlowConnection(
                        flow: FlowID(index), socket: socket, unconsumed: unconsumed,
                        peer: settings.endpoint.description, receiver: receivers[index], socketStore: socketStore,
                        onEvent: onEvent))
            }
            openings = []
            if let descriptor = await main?.descriptor { socketStore.keep(descriptor, name: StoredSocketName.main) }
            guard case .startReadersThenSend(let command) = machine.begin() else {
                preconditionFailure("a session begins with its readers")
            }
            for flow in flows { await flow.start() }
            return try await advance(command) == .stable
        } catch {
            throw SourceError(error) ?? error
        }
    }

    private func advance(_ command: [String]) async throws -> SessionStateMachine.Action {
        guard let main else { throw SourceError(.unreachable, "the connection to the source is closed") }
        var action = SessionStateMachine.Action.send(command)
        while case .send(let command) = action {
            let reply = try await main.request(command.map(\.bytes), timeout: settings.phaseTimeout)
            action = try machine.mainReplied(reply)
        }
        return action
    }

    /// Reports that a flow has delivered FULLSYNC_END.
    ///
    /// - Returns: `true` if it was the last flow and the master has switched to stable sync.
    package func snapshotCompleted(_ flow: FlowID) async throws -> Bool {
        do {
            guard case .send(let command) = try machine.snapshotCompleted(flow) else { return false }
            return try await advance(command) == .stable
        } catch {
            throw SourceError(error) ?? error
        }
    }

    /// Pings the master on the main connection, and measures its clock if the master reports its time.
    package func ping(timeout: Duration) async throws {
        guard let main else { return }
        do {
            let start = clock()
            let reply = try await main.request(sourceClock.isMeasured ? "TIME" : "PING", timeout: timeout)
            sourceClock.answered(reply, between: start, and: clock())
        } catch {
            throw SourceError(error) ?? error
        }
    }

    /// The queue of the main connection, while there is one.
    package var mainQueue: DispatchQueue? { main?.queue }

    // MARK: Leaving

    /// How a flow was left.
    package struct FlowDeparture: Sendable {
        package let flow: FlowID
        package let sawMasterFIN: Bool
        package let receivedBytes: UInt64
    }

    package func stopAcknowledging() async {
        for flow in flows { await flow.stopAcknowledging() }
    }

    /// Half-closes every flow.
    package func halfCloseFlows() async {
        for flow in flows { await flow.halfClose() }
    }

    /// Reads every flow until the master's FIN, or until `limit` has passed.
    package func waitForMasterFIN(within limit: Duration) async -> [FlowDeparture] {
        await withTaskGroup(of: FlowDeparture.self) { group in
            for flow in flows {
                group.addTask {
                    let ended = await flow.waitForEnd(within: limit)
                    return FlowDeparture(flow: flow.flow, sawMasterFIN: ended, receivedBytes: await flow.receivedBytes)
                }
            }
            var departures: [FlowDeparture] = []
            for await departure in group { departures.append(departure) }
            return departures.sorted { $0.flow < $1.flow }
        }
    }

    /// Closes the flows, whose FIN has been sent before, then the main connection, also FIN-first.
    ///
    /// - Parameter limit: how long to wait for the master's FIN on the main connection.
    package func close(within limit: Duration = .milliseconds(500)) async {
        guard !isClosed else { return }
        isClosed = true
        for flow in flows { await flow.close() }
        await withTaskGroup(of: Void.self) { group in
            for connection in openings { group.addTask { _ = await connection.leave(within: limit) } }
        }
        _ = await main?.leave(within: limit)
        main = nil
        socketStore.release(name: StoredSocketName.main)
    }
}
